/** Finding and checking the pairs of a split: visible pictures with their labels, and the infrared ones beside them. */
import type { Modality } from '../../augment/pair-draw.ts';
import { mapConcurrent } from '../concurrent.ts';
import type { DataSet, SplitName } from '../data-yaml.ts';
import { DataError } from '../errors.ts';
import { type Fault, imageSize } from '../inspect-image.ts';
import {
  type LabelledImage,
  type ScanOptions,
  type ScanReport,
  type Split,
  scanListed,
  splitSources,
} from '../scan.ts';
import { placeOf } from '../split-source.ts';
import { suspicions } from './modality-check.ts';
import { type Match, matchSource } from './partners.ts';

export interface Pair extends LabelledImage {
  infrared: string;
}

/** Why two pictures are no pair. */
export const PAIR_PROBLEMS = {
  'missing-infrared': 'without an infrared picture',
  'missing-visible': 'infrared pictures without a visible one',
  'bad-visible': 'with a visible picture or labels that cannot be used',
  'bad-infrared': 'with an infrared picture that cannot be used',
  size: 'of two sizes',
} as const;
export type PairProblemKind = keyof typeof PAIR_PROBLEMS;

export interface PairProblem extends Fault {
  kind: PairProblemKind;
}

export interface PairReport extends ScanReport {
  problems: PairProblem[];
  /** Swapped or doubled modalities, as far as a few pictures tell. */
  suspicions: string[];
}

export interface PairSplit extends Split {
  images: Pair[];
  report: PairReport;
}

/** More unusable pairs than this part are no accident: the folders do not belong together. */
const TOLERATED = 0.1;
const READERS = 16;
const EXAMPLES = 3;

/**
 * Matches the pictures of a split and reads their headers and labels; labels belong to the visible picture. Infrared is
 * found by `train_ir:` (`val_ir:`, …) of the yaml, else by the names of the folders.
 * @throws {DataError} when partners cannot be told, no pair is usable, or more than a tenth is not; with `strict` for any
 */
export async function scanPairs(
  data: DataSet,
  name: SplitName,
  options: ScanOptions = {},
): Promise<PairSplit> {
  const { matches, unused } = await matchSplit(data, name);
  const problems: PairProblem[] = unused.map((file) => ({
    kind: 'missing-visible',
    file,
    reason: 'no visible picture of that name',
  }));
  const partners = new Map<string, string>();
  for (const { listed, infrared, found } of matches) {
    if (found) partners.set(listed.image, infrared);
    else problems.push({ kind: 'missing-infrared', file: listed.image, reason: `there is no ${infrared}` });
  }
  const found = matches.length;
  refuse(name, problems, found, options.strict ?? false);
  const listed = matches.filter((match) => match.found).map((match) => match.listed);
  // Faulty visible pictures are counted with the other problems; the labels' own checks stay those of any data set.
  const split = await scanListed({ ...data, channels: null }, name, listed, { ...options, strict: false });
  problems.push(...split.report.skipped.map((fault) => ({ kind: 'bad-visible' as const, ...fault })));
  const images: Pair[] = [];
  const checked = await mapConcurrent(split.images, READERS, async (image) => {
    options.signal?.throwIfAborted();
    const infrared = partners.get(image.path)!;
    return { pair: { ...image, infrared }, problem: await sizeProblem(image, infrared) };
  });
  for (const { pair, problem } of checked) {
    if (problem) problems.push(problem);
    else images.push(pair);
  }
  refuse(name, problems, found, options.strict ?? false);
  return {
    ...split,
    images,
    report: {
      ...split.report,
      found,
      images: images.length,
      backgrounds: images.filter(({ labels }) => labels.length === 0).length,
      boxes: images.reduce((sum, { labels }) => sum + labels.length / 5, 0),
      skipped: problems,
      problems,
      suspicions: await suspicions(images.map(({ path, infrared }) => ({ visible: path, infrared }))),
    },
  };
}

async function matchSplit(data: DataSet, name: SplitName): Promise<{ matches: Match[]; unused: string[] }> {
  const sources = splitSources(data, name);
  const infrared = data.infrared?.[name];
  if (infrared && infrared.length !== sources.length) {
    throw new DataError(
      `${data.file}: '${name}' has ${sources.length} places, '${name}_ir' ${infrared.length}`,
      { hint: 'name the infrared pictures place by place, in the same order' },
    );
  }
  const parts = await Promise.all(
    sources.map((source, i) => matchSource(source, infrared?.[i] ?? null, data.names)),
  );
  const matches = parts.flatMap((part) => part.matches);
  if (matches.length === 0) {
    throw new DataError(`${name}: there are no images in ${sources.map(placeOf).join(', ')}`, {
      hint: `put images there, or correct '${name}:' in the data.yaml`,
    });
  }
  return { matches, unused: parts.flatMap((part) => part.unused) };
}

async function sizeProblem(image: LabelledImage, infrared: string): Promise<PairProblem | null> {
  const size = await imageSize(infrared, 3);
  if ('reason' in size) return { kind: 'bad-infrared', file: infrared, reason: size.reason };
  if (size.width === image.width && size.height === image.height) return null;
  const sizes = `${image.width} x ${image.height} and ${size.width} x ${size.height} pixels`;
  return { kind: 'size', file: image.path, reason: `${sizes} (${infrared})` };
}

function refuse(name: SplitName, problems: readonly PairProblem[], found: number, strict: boolean): void {
  // Infrared pictures too many spoil no pair.
  const spoilt = problems.filter(({ kind }) => kind !== 'missing-visible');
  const limit = strict ? 0 : Math.max(TOLERATED * found, found > 1 ? 1 : 0);
  if (spoilt.length <= limit && spoilt.length < found) return;
  throw new DataError(
    `${name}: ${spoilt.length} of ${found} pairs cannot be used\n${listProblems(problems)}`,
    {
      hint: 'both pictures of a pair have the same relative path and size; up to a tenth of bad pairs are skipped without strict=true',
    },
  );
}

/** One picture of each pair, with the pair's labels: what a detector of that modality alone learns from. */
export function modalityOf(split: PairSplit, modality: Modality): Split {
  const images = split.images.map(({ infrared, ...image }) =>
    modality === 'visible' ? image : { ...image, path: infrared, thermal: true },
  );
  return { ...split, images };
}

/** Problems by their kind, each with its number and first examples, as indented lines. */
export function listProblems(problems: readonly PairProblem[]): string {
  const kinds = (Object.keys(PAIR_PROBLEMS) as PairProblemKind[]).filter((kind) =>
    problems.some((problem) => problem.kind === kind),
  );
  return kinds
    .flatMap((kind) => {
      const those = problems.filter((problem) => problem.kind === kind);
      const examples = those
        .slice(0, EXAMPLES)
        .map(({ file, line, reason }) => `    ${line === undefined ? file : `${file}:${line}`}: ${reason}`);
      const more = those.length > EXAMPLES ? [`    … and ${those.length - EXAMPLES} more`] : [];
      return [`  ${those.length} ${PAIR_PROBLEMS[kind]}`, ...examples, ...more];
    })
    .join('\n');
}

/** What a person should know about a scan that went well enough. */
export function pairWarnings(
  name: SplitName,
  { problems, suspicions: suspected, found }: PairReport,
): string[] {
  const spoilt = problems.filter(({ kind }) => kind !== 'missing-visible').length;
  return [
    ...(problems.length > 0
      ? [`${name}: ${spoilt} of ${found} pairs were skipped\n${listProblems(problems)}`]
      : []),
    ...suspected.map((text) => `${name}: ${text}`),
  ];
}
