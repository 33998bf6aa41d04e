/** Finding and checking the images of a split. */
import { COLOUR_CHANNELS } from './channels.ts';
import { mapConcurrent } from './concurrent.ts';
import type { DataSet, SplitName } from './data-yaml.ts';
import { DataError } from './errors.ts';
import { IMAGE_SUFFIXES } from './image-files.ts';
import { type Fault, inspectImage } from './inspect-image.ts';
import { cacheFile, LabelCache } from './label-cache.ts';
import { type ListedImage, listSource, placeOf, type SplitSource } from './split-source.ts';

/** An image of a split with its labels: rows `class cx cy w h`, normalised to the image. */
export interface LabelledImage {
  path: string;
  width: number;
  height: number;
  labels: Float32Array;
  /** The infrared picture of the same view and size, where the data set consists of pairs. */
  infrared?: string;
  /** The picture itself is infrared: 16-bit samples are temperatures. */
  thermal?: boolean;
}

export interface ScanReport {
  /** Usable images, of `found`. */
  images: number;
  found: number;
  /** Usable images without any object. */
  backgrounds: number;
  boxes: number;
  /** Objects that were not taken over, by the reason: how many, and the first of them. */
  leftOut: { what: string; count: number; first: string }[];
  skipped: Fault[];
  /** Images that had not changed since an earlier scan. */
  remembered: number;
  /** Why the findings could not be kept for the next time, if so. */
  cacheProblem: string | null;
}

export interface Split {
  name: SplitName;
  images: LabelledImage[];
  /** Class names after `singleCls`. */
  names: string[];
  report: ScanReport;
}

export interface ScanOptions {
  /** Any bad image or label is an error; otherwise bad ones are skipped and reported. */
  strict?: boolean;
  /** All objects are of one class. */
  singleCls?: boolean;
  /** Only objects of these classes are kept. */
  classes?: readonly number[] | null;
  /** Part of the images to use, from the first on: above 0, up to 1. */
  fraction?: number;
  /** Keep the findings for the next scan. */
  cache?: boolean;
  signal?: AbortSignal;
}

const READERS = 16;
const LISTED = 10;

/**
 * Reads the image headers and label files of a split.
 * @throws {DataError} when there is no image, no label, or only bad ones; with `strict` for any bad one
 */
export async function scanSplit(data: DataSet, name: SplitName, options: ScanOptions = {}): Promise<Split> {
  const sources = splitSources(data, name);
  return scanListed(data, name, await listImages(data, sources, name), options);
}

/** @throws {DataError} when the split was not asked for */
export function splitSources(data: DataSet, name: SplitName): readonly SplitSource[] {
  const sources = data.splits[name];
  if (sources) return sources;
  throw new DataError(`${data.file}: there is no '${name}:'`, { hint: `add '${name}:' to it` });
}

/**
 * Reads the headers and labels of images that are listed already.
 * @throws {DataError} as {@link scanSplit}
 */
export async function scanListed(
  data: DataSet,
  name: SplitName,
  all: readonly ListedImage[],
  options: ScanOptions = {},
): Promise<Split> {
  const { strict = false, singleCls = false, classes = null, fraction = 1, cache = true, signal } = options;
  const sources = splitSources(data, name);
  const files = fraction < 1 ? all.slice(0, Math.max(1, Math.round(all.length * fraction))) : all;
  const channels = data.channels ?? COLOUR_CHANNELS;
  const store = cache ? await LabelCache.open(cacheFile(sources, data.names, channels)) : null;
  const findings = await mapConcurrent(files, READERS, async (listed) => {
    signal?.throwIfAborted();
    const inspect = () => inspectImage(listed.image, listed.labels, channels);
    return store ? store.find(listed, inspect) : inspect();
  });
  const skipped: Fault[] = [];
  const images: LabelledImage[] = [];
  const report: ScanReport = {
    images: 0,
    found: files.length,
    backgrounds: 0,
    boxes: 0,
    leftOut: [],
    skipped,
    remembered: store?.hits ?? 0,
    cacheProblem: await saveProblem(store),
  };
  let labelled = 0;
  const leftOut = new Map<string, ScanReport['leftOut'][number]>();
  for (const [i, finding] of findings.entries()) {
    if ('reason' in finding) {
      skipped.push(finding);
      continue;
    }
    const labels = chooseRows(finding.rows, singleCls, classes);
    images.push({ path: files[i]!.image, width: finding.width, height: finding.height, labels });
    labelled += finding.labelled ? 1 : 0;
    report.backgrounds += labels.length === 0 ? 1 : 0;
    report.boxes += labels.length / 5;
    for (const { what, line } of finding.leftOut) {
      const known = leftOut.get(what);
      if (known) known.count++;
      else leftOut.set(what, { what, count: 1, first: place(files[i]!.labels.file, line) });
    }
  }
  report.leftOut = [...leftOut.values()];
  report.images = images.length;
  refuse(name, files, report, labelled, strict);
  return { name, images, names: singleCls ? ['item'] : data.names, report };
}

function refuse(
  name: SplitName,
  files: readonly ListedImage[],
  report: ScanReport,
  labelled: number,
  strict: boolean,
): void {
  const { skipped, found, images } = report;
  if (images === 0) {
    throw new DataError(`${name}: none of the ${found} images can be used\n${listFaults(skipped)}`, {
      hint: 'correct the files named above, or what the data.yaml says about them',
    });
  }
  if (strict && skipped.length > 0) {
    throw new DataError(
      `${name}: ${skipped.length} of ${found} images have a fault\n${listFaults(skipped)}`,
      {
        hint: 'correct or remove them; without strict=true such images are skipped',
      },
    );
  }
  if (labelled === 0) {
    const { image, labels } = files[0]!;
    throw new DataError(`${name}: no image has a label file; for ${image} it would be ${labels.file}`, {
      hint: "labels lie beside the images, with 'labels' in place of the last folder 'images', one .txt an image",
    });
  }
}

/** Faults as indented lines `file:line: reason`, the first ten of them. */
export function listFaults(faults: readonly Fault[]): string {
  const lines = faults.slice(0, LISTED).map(({ file, line, reason }) => `  ${place(file, line)}: ${reason}`);
  if (faults.length > LISTED) lines.push(`  … and ${faults.length - LISTED} more`);
  return lines.join('\n');
}

function place(file: string, line: number | undefined): string {
  return line === undefined ? file : `${file}:${line}`;
}

/** What a person should know about a scan: images that were skipped, and labels that were left out. */
export function scanWarnings(name: SplitName, { skipped, found, leftOut }: ScanReport): string[] {
  const warnings: string[] = [];
  if (skipped.length > 0) {
    warnings.push(`${name}: ${skipped.length} of ${found} images were skipped\n${listFaults(skipped)}`);
  }
  if (leftOut.length > 0) {
    const lines = leftOut.map(({ what, count, first }) => `  ${count} x ${what} (first: ${first})`);
    warnings.push(`${name}: labels were left out\n${lines.join('\n')}`);
  }
  return warnings;
}

function chooseRows(
  rows: readonly number[],
  singleCls: boolean,
  classes: readonly number[] | null,
): Float32Array {
  const chosen: number[] = [];
  for (let i = 0; i < rows.length; i += 5) {
    if (classes !== null && !classes.includes(rows[i]!)) continue;
    chosen.push(singleCls ? 0 : rows[i]!, rows[i + 1]!, rows[i + 2]!, rows[i + 3]!, rows[i + 4]!);
  }
  return Float32Array.from(chosen);
}

// A cache that cannot be written (a full disk, no permission) costs time at the next start, nothing else.
async function saveProblem(store: LabelCache | null): Promise<string | null> {
  try {
    await store?.save();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

async function listImages(
  data: DataSet,
  sources: readonly SplitSource[],
  name: SplitName,
): Promise<ListedImage[]> {
  const images: ListedImage[] = [];
  for (const source of sources) images.push(...(await listSource(source, data.names)));
  if (images.length > 0) return images;
  throw new DataError(`${name}: there are no images in ${sources.map(placeOf).join(', ')}`, {
    hint: `put images there (${IMAGE_SUFFIXES.join(', ')}), or correct '${name}:' in the data.yaml`,
  });
}
