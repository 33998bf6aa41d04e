/** Reading of `data.yaml`: where the images of a data set are and what its classes are called. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { nearestNames } from '@mezzo/libtorch/nearest';
import { MOST_CHANNELS } from './channels.ts';
import { readCoco } from './coco-json.ts';
import { DataError } from './errors.ts';
import { placeOf, type SplitSource } from './split-source.ts';
import { DataYaml, EXAMPLE } from './yaml-file.ts';

export const SPLIT_NAMES = ['train', 'val', 'test'] as const;
export type SplitName = (typeof SPLIT_NAMES)[number];

export interface DataSet {
  /** Absolute path of the yaml. */
  file: string;
  /** What each split that was asked for consists of; all paths are absolute. */
  splits: Partial<Record<SplitName, SplitSource[]>>;
  /** Folders and .txt lists of the infrared pictures of a split, where the yaml names them (`train_ir:`). */
  infrared?: Partial<Record<SplitName, string[]>>;
  /** Class names; the index is the class id. */
  names: string[];
  /** Channels of the pictures; null when the yaml does not say: then those of the network, or 3 (RGB). */
  channels: number | null;
}

export interface DataYamlOptions {
  /** Where relative paths are looked for after the yaml's own folder. */
  datasetsDir?: string | null;
  /** The splits that must exist; `train` and `val` unless given. */
  splits?: readonly SplitName[];
  /** Folder that a relative `data` starts from; the working folder unless given. */
  cwd?: string;
}

const OTHER_NAMES: Partial<Record<SplitName, string>> = { val: 'validation' };

/**
 * Reads a data set description. Relative paths resolve against the yaml's folder, then `datasetsDir`;
 * `download:` is never executed.
 * @throws {DataError} naming file, line and remedy
 */
export async function readDataYaml(data: string, options: DataYamlOptions = {}): Promise<DataSet> {
  const datasetsDir = options.datasetsDir ? path.resolve(options.datasetsDir) : null;
  const file = findYaml(data, options.cwd ?? process.cwd(), datasetsDir);
  const yaml = await DataYaml.open(file);
  const given = classNames(yaml);
  const channels = channelCount(yaml);
  const root = dataRoot(yaml, datasetsDir);
  const splits: DataSet['splits'] = {};
  const infrared: DataSet['infrared'] = {};
  for (const name of options.splits ?? (['train', 'val'] as const)) {
    splits[name] = splitSources(yaml, name, root);
    const partners = infraredSources(yaml, name, root);
    if (partners !== null) infrared[name] = partners;
  }
  const names = given ?? (await cocoNames(yaml, root, Object.values(splits).flat()));
  const pairs = Object.keys(infrared).length > 0 ? { infrared } : {};
  return { file, splits, ...pairs, names, channels };
}

/** Descriptions of known data sets, which come with the package. */
const OWN_FILES = new URL('../../../datasets/', import.meta.url);

function findYaml(data: string, cwd: string, datasetsDir: string | null): string {
  const places = [path.resolve(cwd, data)];
  if (datasetsDir !== null && !path.isAbsolute(data)) places.push(path.join(datasetsDir, data));
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  const own = fileURLToPath(new URL(path.basename(data), OWN_FILES));
  if (path.basename(data) === data && existsSync(own)) return own;
  throw new DataError(`there is no data set '${data}'; searched: ${places.join(', ')}`, {
    hint:
      `${nearestHint(places[0]!)}Mezzo downloads no data sets: give the path of a data.yaml on this machine, ` +
      'or generate a set with `mezzo data shapes --out DIR`',
  });
}

/** null when the yaml does not name the classes. */
function classNames(yaml: DataYaml): string[] | null {
  const nc = yaml.get('nc');
  const names = yaml.get('names');
  if (nc !== undefined && !(Number.isInteger(nc) && (nc as number) > 0)) {
    throw yaml.error(
      'nc',
      `nc is ${JSON.stringify(nc)}, not a number of classes`,
      'write a whole number above 0',
    );
  }
  if (names === undefined) {
    if (nc === undefined) return null;
    return Array.from({ length: nc as number }, (_, id) => `class${id}`);
  }
  const list = Array.isArray(names) ? names.map((name) => plainName(yaml, name)) : numberedNames(yaml, names);
  if (list.length === 0) throw yaml.error('names', 'there is no class name', EXAMPLE);
  if (nc !== undefined && nc !== list.length) {
    throw yaml.error(
      'nc',
      `nc is ${nc}, but there are ${list.length} names`,
      "correct it, or leave 'nc' out",
    );
  }
  return list;
}

/**
 * The categories of a COCO file in the order of their ids. That of the training split counts, so that every split of a
 * data set has the same classes.
 */
async function cocoNames(yaml: DataYaml, root: string, sources: readonly SplitSource[]): Promise<string[]> {
  const training = yaml.get('train') === undefined ? [] : splitSources(yaml, 'train', root);
  const file = [...training, ...sources].map(placeOf).find((place) => /\.json$/i.test(place));
  if (file === undefined) throw yaml.error('names', "neither 'names' nor 'nc' is given", EXAMPLE);
  return (await readCoco(file)).categories.map(({ name }) => name);
}

function plainName(yaml: DataYaml, name: unknown): string {
  if (typeof name === 'string' || typeof name === 'number' || typeof name === 'boolean') return String(name);
  throw yaml.error('names', `${JSON.stringify(name)} is no class name`, 'write one word or number a class');
}

function numberedNames(yaml: DataYaml, names: unknown): string[] {
  const remedy = 'write `names: [cat, dog]`, or one `0: cat` a line';
  if (typeof names !== 'object' || names === null) {
    throw yaml.error('names', `names is ${JSON.stringify(names)}, neither a list nor numbered names`, remedy);
  }
  const entries = Object.entries(names);
  const list: string[] = [];
  for (const [id, name] of entries) {
    if (!/^\d+$/.test(id) || Number(id) >= entries.length) {
      throw yaml.error('names', `class id '${id}' among ${entries.length} names: ids are 0, 1, 2, …`, remedy);
    }
    list[Number(id)] = plainName(yaml, name);
  }
  return list;
}

function channelCount(yaml: DataYaml): number | null {
  const channels = yaml.get('channels');
  if (channels === undefined) return null;
  if (Number.isInteger(channels) && (channels as number) > 0 && (channels as number) <= MOST_CHANNELS) {
    return channels as number;
  }
  throw yaml.error(
    'channels',
    `channels is ${JSON.stringify(channels)}, not a number of channels from 1 to ${MOST_CHANNELS}`,
    'write `channels: 3` (colour), `channels: 1` (grey), or how many the images have',
  );
}

function dataRoot(yaml: DataYaml, datasetsDir: string | null): string {
  const given = yaml.get('path');
  if (given === undefined) return yaml.folder;
  if (typeof given !== 'string') {
    throw yaml.error(
      'path',
      `path is ${JSON.stringify(given)}, not a folder`,
      'write the folder of the data set',
    );
  }
  const places = [path.resolve(yaml.folder, given)];
  if (datasetsDir !== null && !path.isAbsolute(given)) places.push(path.resolve(datasetsDir, given));
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw yaml.error(
    'path',
    `there is no folder '${given}'; searched: ${places.join(', ')}`,
    missingHint(yaml, places[0]!),
  );
}

function splitSources(yaml: DataYaml, name: SplitName, root: string): SplitSource[] {
  const other = OTHER_NAMES[name];
  const key =
    yaml.get(name) === undefined && other !== undefined && yaml.get(other) !== undefined ? other : name;
  const given = yaml.get(key);
  if (given === undefined) throw yaml.error(key, `there is no '${name}:'`, EXAMPLE);
  const entries = Array.isArray(given) ? given : [given];
  if (entries.length === 0) throw yaml.error(key, `'${key}' is an empty list`, EXAMPLE);
  return entries.map((entry: unknown) => {
    if (typeof entry === 'string') return existingPath(yaml, key, root, entry);
    if (typeof entry === 'object' && entry !== null) {
      return annotatedSource(yaml, key, root, entry as Record<string, unknown>);
    }
    throw yaml.error(key, `'${key}' is ${JSON.stringify(entry)}, not a path`, SOURCES);
  });
}

/** The folders and lists of `train_ir:`; null when it is not there. */
function infraredSources(yaml: DataYaml, name: SplitName, root: string): string[] | null {
  const key = `${name}_ir`;
  const given = yaml.get(key);
  if (given === undefined) return null;
  return (Array.isArray(given) ? given : [given]).map((entry: unknown) => {
    if (typeof entry === 'string') return existingPath(yaml, key, root, entry);
    const remedy = 'write a folder, a .txt list of infrared images, or a list of these';
    throw yaml.error(key, `'${key}' is ${JSON.stringify(entry)}, not a path`, remedy);
  });
}

const SOURCES =
  'write a folder, a .txt list of images, a COCO .json file, `{annotations: …, images: …}`, or a list of these';

/** `{annotations: FILE.json or FOLDER, images: FOLDER, list: FILE.txt}`; the last two may be absent. */
function annotatedSource(
  yaml: DataYaml,
  key: string,
  root: string,
  entry: Record<string, unknown>,
): SplitSource {
  const { annotations, images = null, list, ...others } = entry;
  const [stray] = Object.keys(others);
  if (stray !== undefined) throw yaml.error(key, `'${key}' has an unknown key '${stray}'`, SOURCES);
  const odd = [annotations, ...(images === null ? [] : [images]), ...(list === undefined ? [] : [list])];
  if (!odd.every((value) => typeof value === 'string')) {
    throw yaml.error(key, `'${key}' is ${JSON.stringify(entry)}, without a path in 'annotations'`, SOURCES);
  }
  return {
    annotations: existingPath(yaml, key, root, annotations as string),
    images: images === null ? null : existingPath(yaml, key, root, images as string),
    ...(list === undefined ? {} : { list: existingPath(yaml, key, root, list as string) }),
  };
}

function existingPath(yaml: DataYaml, key: string, root: string, entry: string): string {
  const places = [path.resolve(root, entry)];
  // Some labelling tools write ../train/images into a yaml that lies beside the folder train.
  if (entry.startsWith('../')) places.push(path.resolve(root, entry.slice(3)));
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  const message = `'${key}' names '${entry}', which does not exist; searched: ${places.join(', ')}`;
  throw yaml.error(key, message, missingHint(yaml, places[0]!));
}

/** What there is in place of a missing path: its nearest folder, and the most alike name in there. */
function nearestHint(missing: string): string {
  let folder = path.dirname(missing);
  let name = path.basename(missing);
  while (!existsSync(folder) && path.dirname(folder) !== folder) {
    name = path.basename(folder);
    folder = path.dirname(folder);
  }
  const [near] = statSync(folder).isDirectory() ? nearestNames(name, readdirSync(folder), 1) : [];
  return near === undefined ? '' : `there is ${path.join(folder, near)}; `;
}

function missingHint(yaml: DataYaml, place: string): string {
  const obtain = yaml.get('obtain');
  if (typeof obtain === 'string') return obtain;
  const correct = "correct the path, or set 'datasets_dir' to the folder that holds your data sets";
  const near = nearestHint(place);
  if (yaml.get('download') === undefined) return `${near}${correct}`;
  return `${near}the 'download:' of this file is never executed: fetch the data set yourself, or ${correct}`;
}
