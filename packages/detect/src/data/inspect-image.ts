/** Everything a scan learns about one image: its size, its labels, or why it cannot be used. */

import { fitsColour } from './channels.ts';
import { decodeFailure, decodePixels, probeImage } from './decode.ts';
import { readImageHeader } from './image-header.ts';
import type { LeftOut } from './label-rows.ts';
import type { LabelSource } from './label-source.ts';

/** A usable image; `rows` are `class cx cy w h`, one after another. */
export interface Inspected {
  width: number;
  height: number;
  rows: number[];
  /** Whether it has labels, be they empty; an image without is background. */
  labelled: boolean;
  leftOut: LeftOut[];
}

/** An unusable image: the file at fault, its line where there is one, and the reason. */
export interface Fault {
  file: string;
  line?: number;
  reason: string;
}

export const MIN_SIDE = 10;

/** Reads an image's header and its labels, for a network of so many channels. */
export async function inspectImage(
  image: string,
  source: LabelSource,
  channels: number,
): Promise<Inspected | Fault> {
  const size = await imageSize(image, channels);
  if ('reason' in size) return { file: image, reason: size.reason };
  const { width, height } = size;
  if (width < MIN_SIDE || height < MIN_SIDE) {
    return { file: image, reason: `${width} x ${height} pixels: each side must have at least ${MIN_SIDE}` };
  }
  const { file } = source;
  let text: string | null;
  try {
    text = await source.read();
  } catch (error) {
    return { file, reason: (error as Error).message };
  }
  if (text === null) return { width, height, rows: [], labelled: false, leftOut: [] };
  const labels = source.parse(text, size);
  if ('reason' in labels) return { file, ...labels };
  return { width, height, labelled: true, ...labels };
}

/** Width and height of an image that a network of so many channels can use, or why it cannot. */
export async function imageSize(
  image: string,
  channels: number,
): Promise<{ width: number; height: number } | { reason: string }> {
  try {
    const header = await readImageHeader(image);
    if (header === null) return await probeImage(image, channels);
    // A file without its proper end may still be whole, with something appended: only decoding tells.
    if (!header.complete && !(await decodes(image, channels))) return { reason: 'the file is truncated' };
    return fitsColour(channels) && !header.exif ? header : await probeImage(image, channels);
  } catch (error) {
    return { reason: decodeFailure(error) };
  }
}

async function decodes(image: string, channels: number): Promise<boolean> {
  return decodePixels(image, channels).then(
    () => true,
    () => false,
  );
}
