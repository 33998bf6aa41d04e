/** Data sets in COCO's or VOC's form, written in YOLO's: images, label files and a data.yaml. */
import { existsSync, statSync } from 'node:fs';
import { copyFile, link, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { writeFolder } from '../datasets/draft-folder.ts';
import { readCoco } from './coco-json.ts';
import { SPLIT_NAMES, type SplitName } from './data-yaml.ts';
import { DataError } from './errors.ts';
import { type LabelledImage, type ScanReport, type Split, scanSplit, scanWarnings } from './scan.ts';
import { type SplitSource, xmlIn } from './split-source.ts';
import { parseVoc } from './voc-xml.ts';

export interface ToYoloOptions {
  /** Folder of the images; where such data sets usually keep them unless given. */
  images?: string | null;
  signal?: AbortSignal;
}

export interface WrittenDataSet {
  from: string;
  /** The data.yaml. */
  to: string;
  names: string[];
  splits: Partial<Record<SplitName, Pick<ScanReport, 'images' | 'boxes' | 'backgrounds'>>>;
  /** Images that were skipped and objects that were left out, in words. */
  warnings: string[];
}

type Splits = Partial<Record<SplitName, SplitSource[]>>;

/**
 * Writes a COCO file, or a folder of them, as a YOLO data set in the new folder `out`. The name of a file says its
 * split (`instances_val2017.json`); categories become classes in the order of their ids. Images are linked, or copied
 * to another disk.
 * @throws {DataError} for files that cannot be read or written; then nothing is written
 */
export async function convertCocoToYolo(
  input: string,
  out: string,
  { images = null, signal }: ToYoloOptions = {},
): Promise<WrittenDataSet> {
  const files = await cocoFiles(input);
  const splits: Splits = {};
  for (const annotations of files) {
    const name = files.length === 1 ? (splitOf(annotations) ?? 'train') : splitOf(annotations);
    if (name === null || splits[name]) {
      throw new DataError(`${annotations}: its name does not say which split it is, train, val or test`, {
        hint: 'convert the files one by one, or rename it (instances_train.json)',
      });
    }
    splits[name] = [{ annotations, images }];
  }
  const first = splits.train ?? Object.values(splits)[0]!;
  const { categories } = await readCoco((first[0] as { annotations: string }).annotations);
  return write(input, out, splits, { names: categories.map(({ name }) => name), signal });
}

/**
 * Writes a folder of VOC XML files as a YOLO data set in the new folder `out`. Splits are the lists of ImageSets/Main,
 * or the subfolders train, val and test; otherwise everything is train. Classes are in the order of the alphabet.
 * @throws {DataError} for files that cannot be read or written; then nothing is written
 */
export async function convertVocToYolo(
  input: string,
  out: string,
  { images = null, signal }: ToYoloOptions = {},
): Promise<WrittenDataSet> {
  requireFolder(input);
  const inner = path.join(input, 'Annotations');
  const annotations = existsSync(inner) ? inner : input;
  const lists = path.join(path.dirname(annotations), 'ImageSets', 'Main');
  const splits: Splits = {};
  for (const name of SPLIT_NAMES) {
    const list = path.join(lists, `${name}.txt`);
    const folder = path.join(annotations, name);
    if (existsSync(list)) splits[name] = [{ annotations, images, list }];
    else if (existsSync(folder)) splits[name] = [{ annotations: folder, images: within(images, name) }];
  }
  if (Object.keys(splits).length === 0) splits.train = [{ annotations, images }];
  return write(input, out, splits, { names: await vocNames(annotations), signal });
}

async function cocoFiles(input: string): Promise<string[]> {
  if (/\.json$/i.test(input)) return [input];
  requireFolder(input);
  const files = (await readdir(input)).filter((name) => /\.json$/i.test(name)).sort();
  if (files.length > 0) return files.map((name) => path.join(input, name));
  throw new DataError(`there are no .json files in ${input}`, { hint: 'name the folder of the annotations' });
}

function requireFolder(input: string): void {
  if (existsSync(input) && statSync(input).isDirectory()) return;
  throw new DataError(`there is no folder ${input}`, { hint: 'correct the path' });
}

function splitOf(file: string): SplitName | null {
  const name = path.basename(file).toLowerCase();
  return SPLIT_NAMES.find((split) => name.includes(split)) ?? null;
}

function within(images: string | null, split: SplitName): string | null {
  if (images === null) return null;
  const folder = path.join(images, split);
  return existsSync(folder) ? folder : images;
}

/** The classes of the annotations in a folder, in the order of the alphabet. @throws {DataError} when there is none */
export async function vocNames(annotations: string): Promise<string[]> {
  const names = new Set<string>();
  for (const file of await xmlIn(annotations)) {
    const annotation = parseVoc(await readFile(file, 'utf8'));
    // A file that cannot be read is told of when its labels are.
    for (const { name } of 'reason' in annotation ? [] : annotation.objects) names.add(name);
  }
  if (names.size > 0) return [...names].sort();
  throw new DataError(`there are no VOC annotations with objects in ${annotations}`, {
    hint: 'name the folder of the .xml files, or the one that holds Annotations and JPEGImages',
  });
}

async function write(
  from: string,
  out: string,
  splits: Splits,
  { names, signal }: { names: string[]; signal: AbortSignal | undefined },
): Promise<WrittenDataSet> {
  const data = { file: from, splits, names, channels: null };
  const result: WrittenDataSet = { from, to: path.join(out, 'data.yaml'), names, splits: {}, warnings: [] };
  await writeFolder(out, async (draft) => {
    const yaml: Record<string, unknown> = { path: '.' };
    for (const name of SPLIT_NAMES.filter((split) => splits[split])) {
      const split = await scanSplit(data, name, { cache: false, ...(signal ? { signal } : {}) });
      const { images, boxes, backgrounds } = split.report;
      result.splits[name] = { images, boxes, backgrounds };
      result.warnings.push(...scanWarnings(name, split.report));
      yaml[name] = `images/${name}`;
      await writeSplit(draft, split, signal);
    }
    yaml.names = new Map(names.entries());
    await writeFile(path.join(draft, 'data.yaml'), stringify(yaml));
  });
  return result;
}

async function writeSplit(
  folder: string,
  { name, images }: Split,
  signal: AbortSignal | undefined,
): Promise<void> {
  const root = commonFolder(images.map((image) => image.path));
  for (const image of images) {
    signal?.throwIfAborted();
    const place = path.relative(root, image.path);
    const picture = path.join(folder, 'images', name, place);
    const labels = path.join(folder, 'labels', name, `${place.slice(0, -path.extname(place).length)}.txt`);
    await mkdir(path.dirname(picture), { recursive: true });
    await mkdir(path.dirname(labels), { recursive: true });
    await linkOrCopy(image.path, picture);
    await writeFile(labels, labelText(image));
  }
}

/** A hard link takes no room; between two disks there is none. */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    await copyFile(from, to);
  }
}

/** Digits that a 32-bit number holds. */
const DIGITS = 8;

/** Rows of a label file. */
export function labelText({ labels }: LabelledImage): string {
  let text = '';
  for (let i = 0; i < labels.length; i += 5) {
    const row = Array.from(labels.subarray(i, i + 5), (value) => Number(value.toPrecision(DIGITS)));
    text += `${row.join(' ')}\n`;
  }
  return text;
}

function commonFolder(files: readonly string[]): string {
  let common = path.dirname(files[0]!);
  for (const file of files) {
    while (!file.startsWith(common === path.sep ? common : `${common}${path.sep}`))
      common = path.dirname(common);
  }
  return common;
}
