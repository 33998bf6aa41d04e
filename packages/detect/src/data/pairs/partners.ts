/** Finds the infrared partner of each visible picture: by relative path, or line by line in two lists. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { DataSet, SplitName } from '../data-yaml.ts';
import { DataError } from '../errors.ts';
import { isImage } from '../image-files.ts';
import { splitSources } from '../scan.ts';
import { type ListedImage, linesOf, listSource, placeOf, type SplitSource } from '../split-source.ts';
import { pairLabels } from './pair-labels.ts';
import { infraredFolders, RULE_TEXT } from './path-rule.ts';

/** A visible picture, and its partner or the place where it was looked for. */
export interface Match {
  listed: ListedImage;
  infrared: string;
  found: boolean;
}

export interface Matches {
  matches: Match[];
  /** Infrared pictures in the folders that were looked into, without a visible one. */
  unused: string[];
}

/**
 * Matches the pictures of one source of a split.
 * @param infrared the folder or .txt list of the partners; null follows the names of the folders
 * @throws {DataError} when no folder of partners can be told, or two lists differ in length
 */
export async function matchSource(
  source: SplitSource,
  infrared: string | null,
  names: readonly string[],
): Promise<Matches> {
  const listed = await listSource(source, names);
  const pictures = typeof source === 'string' ? await pairLabels(listed, names) : listed;
  const textList = infrared !== null && !(await isFolder(infrared));
  if (textList) return matchLines(source, infrared, pictures);
  // A list or an annotation file may name a part of a folder: the rest is not missing.
  const whole = typeof source === 'string' && (await isFolder(source));
  const root = whole ? source : null;
  return matchFolders(pictures, placesOf(source, root, infrared), whole);
}

/** Is there a place for the infrared partners of a split's pictures: named in the yaml, or a folder of that name? */
export async function hasPartners(data: DataSet, name: SplitName): Promise<boolean> {
  if (data.infrared?.[name]) return true;
  for (const source of splitSources(data, name)) {
    const folders = new Set((await listSource(source, data.names)).map(({ image }) => path.dirname(image)));
    for (const folder of [...folders].flatMap(infraredFolders)) if (await isFolder(folder)) return true;
  }
  return false;
}

async function matchLines(
  source: SplitSource,
  list: string,
  pictures: readonly ListedImage[],
): Promise<Matches> {
  const lines = await linesOf(list);
  if (lines.length !== pictures.length) {
    throw new DataError(
      `${placeOf(source)} has ${pictures.length} pictures, ${list} has ${lines.length}: line by line they make the pairs`,
      { hint: 'give both lists the same pictures in the same order' },
    );
  }
  const matches = pictures.map(async (listed, i) => {
    const infrared = path.resolve(path.dirname(list), lines[i]!);
    return { listed, infrared, found: await exists(infrared) };
  });
  return { matches: await Promise.all(matches), unused: [] };
}

/** The folders where the partners of a folder's pictures may be, likeliest first. */
type Places = (folder: string) => string[];

function placesOf(source: SplitSource, root: string | null, infrared: string | null): Places {
  if (infrared === null) return infraredFolders;
  if (root !== null) return (folder) => [path.join(infrared, path.relative(root, folder))];
  throw new DataError(`${placeOf(source)} is a list, ${infrared} a folder`, {
    hint: 'give the infrared pictures as a list too, line by line, or both as folders',
  });
}

async function matchFolders(
  pictures: readonly ListedImage[],
  places: Places,
  reportUnused: boolean,
): Promise<Matches> {
  const folders = new Map<string, { folder: string; partners: Map<string, string> }>();
  const used = new Set<string>();
  const matches: Match[] = [];
  for (const listed of pictures) {
    const folder = path.dirname(listed.image);
    let known = folders.get(folder);
    if (!known) {
      const candidates = places(folder);
      if (candidates.length === 0) throw noFolder(folder);
      known = await partnersIn(candidates);
      folders.set(folder, known);
    }
    const partner = known.partners.get(stemOf(listed.image));
    if (partner !== undefined) used.add(partner);
    const infrared = partner ?? path.join(known.folder, path.basename(listed.image));
    matches.push({ listed, infrared, found: partner !== undefined });
  }
  const all = reportUnused ? [...folders.values()].flatMap(({ partners }) => [...partners.values()]) : [];
  return { matches, unused: all.filter((file) => !used.has(file)) };
}

/** The pictures of the first folder that is there, by their names without suffix. */
async function partnersIn(
  candidates: readonly string[],
): Promise<{ folder: string; partners: Map<string, string> }> {
  for (const folder of candidates) {
    if (!(await isFolder(folder))) continue;
    const files = (await readdir(folder)).filter(isImage).sort().reverse();
    return { folder, partners: new Map(files.map((file) => [stemOf(file), path.join(folder, file)])) };
  }
  return { folder: candidates[0]!, partners: new Map() };
}

function noFolder(folder: string): DataError {
  return new DataError(`no folder of infrared pictures can be told from ${folder}`, {
    hint: `the names of folders lead to it (${RULE_TEXT}); other places are named in the data.yaml, as 'train_ir:' and 'val_ir:'`,
  });
}

function stemOf(file: string): string {
  return path.basename(file, path.extname(file));
}

function isFolder(place: string): Promise<boolean> {
  return stat(place).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function exists(place: string): Promise<boolean> {
  return stat(place).then(
    () => true,
    () => false,
  );
}
