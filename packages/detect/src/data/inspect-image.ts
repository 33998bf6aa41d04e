/** Everything a scan learns about one image: its size, its labels, or why it cannot be used. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { decodeFailure, decodeImage, probeImage } from './decode.ts';
import { readImageHeader } from './image-header.ts';
import { parseLabels } from './label-file.ts';

/** A usable image; `rows` are `class cx cy w h`, one after another. */
export interface Inspected {
  width: number;
  height: number;
  rows: number[];
  /** Whether it has a label file; an image without one is background. */
  labelled: boolean;
  duplicates: number;
  flat: number;
}

/** An unusable image: the file at fault, its line where there is one, and the reason. */
export interface Fault {
  file: string;
  line?: number;
  reason: string;
}

export const MIN_SIDE = 10;

/** The label file of an image: the last folder `images` becomes `labels`, the suffix becomes .txt. */
export function labelPath(image: string): string {
  const folder = `${path.sep}images${path.sep}`;
  const at = image.lastIndexOf(folder);
  const moved =
    at < 0 ? image : `${image.slice(0, at)}${path.sep}labels${path.sep}${image.slice(at + folder.length)}`;
  return `${moved.slice(0, moved.length - path.extname(moved).length)}.txt`;
}

/** Reads an image's header and its label file. */
export async function inspectImage(image: string, classes: number): Promise<Inspected | Fault> {
  const size = await imageSize(image);
  if ('reason' in size) return { file: image, reason: size.reason };
  const { width, height } = size;
  if (width < MIN_SIDE || height < MIN_SIDE) {
    return { file: image, reason: `${width} x ${height} pixels: each side must have at least ${MIN_SIDE}` };
  }
  const file = labelPath(image);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') return { file, reason: message };
    return { width, height, rows: [], labelled: false, duplicates: 0, flat: 0 };
  }
  const labels = parseLabels(text, classes);
  if ('reason' in labels) return { file, ...labels };
  return { width, height, labelled: true, ...labels };
}

async function imageSize(image: string): Promise<{ width: number; height: number } | { reason: string }> {
  try {
    const header = await readImageHeader(image);
    if (header === null) return await probeImage(image);
    // A file without its proper end may still be whole, with something appended: only decoding tells.
    if (!header.complete && !(await decodes(image))) return { reason: 'the file is truncated' };
    return header;
  } catch (error) {
    return { reason: decodeFailure(error) };
  }
}

async function decodes(image: string): Promise<boolean> {
  return decodeImage(image).then(
    () => true,
    () => false,
  );
}
