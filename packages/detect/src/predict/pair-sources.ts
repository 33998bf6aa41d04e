import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { isImage } from '../data/image-files.ts';
import { infraredFolders } from '../data/pairs/path-rule.ts';
import { SourceError } from './errors.ts';
import type { ImagePair } from './pair-image.ts';
import { listSources } from './sources.ts';

type Source = string | readonly string[];

const EXAMPLES = 3;

/**
 * The pairs that two sources name, in the order of the visible pictures; a picture without a partner is a pair too.
 * @param infrared as {@link listSources} takes it; null follows the names of the folders (images → imagesIR, …)
 * @returns the pairs, and what to tell about those of one picture
 * @throws SourceError as {@link listSources}; SOURCE_MISSING when no name is in both sources
 */
export async function listPairs(
  visible: Source | null,
  infrared: Source | null,
): Promise<{ pairs: ImagePair[]; notes: string[] }> {
  const pairs = await matched(visible, infrared);
  const notes = (['visible', 'infrared'] as const).flatMap((sensor) => {
    const other = sensor === 'visible' ? 'infrared' : 'visible';
    const alone = pairs.flatMap((pair) => (pair[sensor] === null ? [path.basename(pair[other]!)] : []));
    if (alone.length === 0) return [];
    const named = `${alone.slice(0, EXAMPLES).join(', ')}${alone.length > EXAMPLES ? ', …' : ''}`;
    const way = sensor === 'infrared' && infrared === null ? '; source-ir= names the pictures' : '';
    return [
      `${alone.length} of ${pairs.length} pairs have no ${sensor} picture (${named}): its channels are zeros${way}`,
    ];
  });
  return { pairs, notes };
}

async function matched(visible: Source | null, infrared: Source | null): Promise<ImagePair[]> {
  if (visible === null) {
    return (await listSources(infrared ?? [])).map((file) => ({ visible: null, infrared: file }));
  }
  const files = await listSources(visible);
  if (infrared === null) return Promise.all(files.map(beside()));
  const partners = await listSources(infrared);
  if (files.length === 1 && partners.length === 1) return [{ visible: files[0]!, infrared: partners[0]! }];
  if (isTextList(visible) && isTextList(infrared) && files.length === partners.length) {
    return files.map((file, i) => ({ visible: file, infrared: partners[i]! }));
  }
  return byName(files, partners);
}

/** Partners by the names of the folders. */
function beside(): (file: string) => Promise<ImagePair> {
  const folders = new Map<string, Promise<ReadonlyMap<string, string>>>();
  return async (file) => {
    for (const folder of infraredFolders(path.dirname(path.resolve(file)))) {
      const known = folders.get(folder) ?? picturesIn(folder);
      folders.set(folder, known);
      const infrared = (await known).get(stemOf(file));
      if (infrared !== undefined) return { visible: file, infrared };
    }
    return { visible: file, infrared: null };
  };
}

/** Pictures of a folder by their names without suffix; a folder that is not there has none. */
async function picturesIn(folder: string): Promise<ReadonlyMap<string, string>> {
  const names = await readdir(folder).catch(() => []);
  return new Map(names.filter(isImage).map((name) => [stemOf(name), path.join(folder, name)]));
}

/** Partners have the same place below the folder that all pictures of a source share. */
function byName(visible: readonly string[], infrared: readonly string[]): ImagePair[] {
  const placed = new Map(placesOf(infrared).map((place, i) => [place, infrared[i]!]));
  const pairs = placesOf(visible).map((place, i): ImagePair => {
    const partner = placed.get(place) ?? null;
    placed.delete(place);
    return { visible: visible[i]!, infrared: partner };
  });
  if (pairs.every(({ infrared: partner }) => partner === null)) {
    throw new SourceError(
      'SOURCE_MISSING',
      `no picture of source-ir has the name of one of source: ${path.basename(infrared[0]!)}, ${path.basename(visible[0]!)}`,
      {
        hint: 'both pictures of a pair have the same name; other names are paired by two .txt lists, line by line',
      },
    );
  }
  // Of one picture the partner is looked for; between folders every picture counts.
  if (visible.length === 1) return pairs;
  return [...pairs, ...[...placed.values()].map((file) => ({ visible: null, infrared: file }))];
}

function placesOf(files: readonly string[]): string[] {
  const folders = files.map((file) => path.dirname(path.resolve(file)).split(path.sep));
  const [first = [], ...others] = folders;
  const differs = first.findIndex((part, i) => others.some((folder) => folder[i] !== part));
  const common = differs < 0 ? first.length : differs;
  return files.map((file, i) => [...folders[i]!.slice(common), stemOf(file)].join('/'));
}

const stemOf = (file: string): string => path.parse(file).name;

const isTextList = (source: Source): boolean =>
  [source].flat().length === 1 && [source].flat()[0]!.endsWith('.txt');
