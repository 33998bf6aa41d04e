/** Where the labels of one image come from, and how they are read: YOLO txt, VOC XML or COCO JSON. */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { type CocoImage, cocoLabels } from './coco-json.ts';
import { parseLabels } from './label-file.ts';
import type { LabelProblem, Labels } from './label-rows.ts';
import { vocLabels } from './voc-xml.ts';

export interface LabelSource {
  /** The file that faults name. */
  readonly file: string;
  /** Changes whenever `read` could give something else; null for a file that cannot be looked at. */
  stamp(): Promise<Stamp | null>;
  /** The labels as text; null when the image has none. @throws errors of the file system */
  read(): Promise<string | null>;
  parse(text: string, picture: { width: number; height: number }): Labels | LabelProblem;
}

/** The state of a file: as text, and when it changed last, in nanoseconds. */
export interface Stamp {
  text: string;
  changed: bigint;
}

/** The label file of an image: the last folder `images` becomes `labels`, the suffix becomes .txt. */
export function labelPath(image: string): string {
  const folder = `${path.sep}images${path.sep}`;
  const at = image.lastIndexOf(folder);
  const moved =
    at < 0 ? image : `${image.slice(0, at)}${path.sep}labels${path.sep}${image.slice(at + folder.length)}`;
  return `${moved.slice(0, moved.length - path.extname(moved).length)}.txt`;
}

export function yoloSource(image: string, classes: number): LabelSource {
  return yoloFile(labelPath(image), classes);
}

export function yoloFile(file: string, classes: number): LabelSource {
  return {
    file,
    stamp: () => stampOf(file),
    read: () => readIfThere(file),
    parse: (text) => parseLabels(text, classes),
  };
}

export function vocSource(file: string, names: readonly string[]): LabelSource {
  return {
    file,
    stamp: () => stampOf(file),
    read: () => readFile(file, 'utf8'),
    parse: (text, picture) => vocLabels(text, picture, names),
  };
}

/** The file was read as a whole; what it says about one image, and about the classes, stands for its part of it. */
export function cocoSource(
  file: string,
  { boxes, size }: CocoImage,
  classes: ReadonlyMap<number, number>,
): LabelSource {
  const text = () => JSON.stringify([boxes, size, [...classes]]);
  return {
    file,
    stamp: async () => ({ text: text(), changed: 0n }),
    read: async () => text(),
    parse: (_, picture) => cocoLabels({ boxes, size }, picture, classes),
  };
}

/** Of a file that cannot be looked at, why is found out, and told, when it is read. */
export async function stampOf(file: string): Promise<Stamp | null> {
  const state = await stat(file, { bigint: true }).catch(() => null);
  if (state === null) return null;
  const { size, mtimeNs, ctimeNs, ino } = state;
  return { text: `${size} ${mtimeNs} ${ctimeNs} ${ino}`, changed: ctimeNs };
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
