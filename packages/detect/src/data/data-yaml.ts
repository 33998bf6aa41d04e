/** Reading of `data.yaml`: where the images of a data set are and what its classes are called. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isMap, isScalar, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import { DataError } from './errors.ts';

export const SPLIT_NAMES = ['train', 'val', 'test'] as const;
export type SplitName = (typeof SPLIT_NAMES)[number];

export interface DataSet {
  /** Absolute path of the yaml. */
  file: string;
  /** Absolute folders and .txt lists of each split that was asked for. */
  splits: Partial<Record<SplitName, string[]>>;
  /** Class names; the index is the class id. */
  names: string[];
  /** Channels of the pictures that the network sees: 3 (RGB) or 1 (grey). */
  channels: 1 | 3;
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
  const names = classNames(yaml);
  const channels = channelCount(yaml);
  const root = dataRoot(yaml, datasetsDir);
  const splits: DataSet['splits'] = {};
  for (const name of options.splits ?? (['train', 'val'] as const))
    splits[name] = splitSources(yaml, name, root);
  return { file, splits, names, channels };
}

function findYaml(data: string, cwd: string, datasetsDir: string | null): string {
  const places = [path.resolve(cwd, data)];
  if (datasetsDir !== null && !path.isAbsolute(data)) places.push(path.join(datasetsDir, data));
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new DataError(`there is no data set '${data}'; searched: ${places.join(', ')}`, {
    hint:
      'Mezzo downloads no data sets: give the path of a data.yaml on this machine, ' +
      'or generate a set with `mezzo data shapes --out DIR`',
  });
}

/** A parsed data.yaml that knows the line of each key. */
class DataYaml {
  readonly file: string;
  private readonly map: YAMLMap;
  private readonly values: Record<string, unknown>;
  private readonly lines: LineCounter;

  private constructor(file: string, map: YAMLMap, values: Record<string, unknown>, lines: LineCounter) {
    this.file = file;
    this.map = map;
    this.values = values;
    this.lines = lines;
  }

  static async open(file: string): Promise<DataYaml> {
    const text = await readText(file);
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines });
    const [fault] = document.errors;
    if (fault) {
      const [reason] = fault.message.split(/ at line \d+/);
      throw new DataError(`${file}:${lines.linePos(fault.pos[0]).line}: ${reason}`, {
        hint: 'correct the YAML syntax there',
      });
    }
    if (!isMap(document.contents)) {
      throw new DataError(`${file}:1: a data.yaml holds lines of the form 'key: value'`, { hint: EXAMPLE });
    }
    return new DataYaml(file, document.contents, document.toJS() as Record<string, unknown>, lines);
  }

  get folder(): string {
    return path.dirname(this.file);
  }

  /** The value of a key; a key without a value counts as absent. */
  get(key: string): unknown {
    return this.values[key] ?? undefined;
  }

  /** `file:line` of a key. */
  where(key: string): string {
    for (const { key: node } of this.map.items) {
      if (isScalar(node) && node.value === key && node.range) {
        return `${this.file}:${this.lines.linePos(node.range[0]).line}`;
      }
    }
    return this.file;
  }

  error(key: string, message: string, hint: string): DataError {
    return new DataError(`${this.where(key)}: ${message}`, { hint });
  }
}

const EXAMPLE = "it needs 'train:', 'val:' and 'names:', for example `train: images/train`";

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason = code === 'EISDIR' ? 'it is a folder' : message;
    const hint = code === 'EISDIR' ? 'give the data.yaml inside it' : 'make the file readable';
    throw new DataError(`cannot read ${file}: ${reason}`, { hint, cause });
  }
}

function classNames(yaml: DataYaml): string[] {
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
    if (nc === undefined) throw yaml.error('names', "neither 'names' nor 'nc' is given", EXAMPLE);
    return Array.from({ length: nc as number }, (_, id) => `class${id}`);
  }
  const list = Array.isArray(names) ? names.map(String) : numberedNames(yaml, names);
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
    list[Number(id)] = String(name);
  }
  return list;
}

function channelCount(yaml: DataYaml): 1 | 3 {
  const channels = yaml.get('channels') ?? 3;
  if (channels === 1 || channels === 3) return channels;
  throw yaml.error(
    'channels',
    `channels is ${JSON.stringify(channels)}; images of 3 (colour) or 1 (grey) channels can be read`,
    'write `channels: 3` or `channels: 1`',
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
    missingHint(yaml),
  );
}

function splitSources(yaml: DataYaml, name: SplitName, root: string): string[] {
  const other = OTHER_NAMES[name];
  const key =
    yaml.get(name) === undefined && other !== undefined && yaml.get(other) !== undefined ? other : name;
  const given = yaml.get(key);
  if (given === undefined) throw yaml.error(key, `there is no '${name}:'`, EXAMPLE);
  const entries = Array.isArray(given) ? given : [given];
  if (entries.length === 0) throw yaml.error(key, `'${key}' is an empty list`, EXAMPLE);
  return entries.map((entry: unknown) => {
    if (typeof entry !== 'string') {
      const remedy = 'write a folder, a .txt list of images, or a list of these';
      throw yaml.error(key, `'${key}' is ${JSON.stringify(entry)}, not a path`, remedy);
    }
    const places = [path.resolve(root, entry)];
    // Some labelling tools write ../train/images into a yaml that lies beside the folder train.
    if (entry.startsWith('../')) places.push(path.resolve(root, entry.slice(3)));
    const found = places.find((place) => existsSync(place));
    if (found !== undefined) return found;
    const message = `'${key}' names '${entry}', which does not exist; searched: ${places.join(', ')}`;
    throw yaml.error(key, message, missingHint(yaml));
  });
}

function missingHint(yaml: DataYaml): string {
  const correct = "correct the path, or set 'datasets_dir' to the folder that holds your data sets";
  if (yaml.get('download') === undefined) return correct;
  return `the 'download:' of this file is never executed: fetch the data set yourself, or ${correct}`;
}
