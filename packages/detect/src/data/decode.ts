/** Decoding of image files to 8-bit pixels, off the JavaScript thread (but for bitmaps). */
import { open, readFile } from 'node:fs/promises';
import sharp from 'sharp';
import type { SourceImage } from '../augment/warp-job.ts';
import type { RawImage } from '../plots/raster.ts';
import { BMP_HEAD, BmpError, decodeBmp, isBmp, readBmpHeader } from './bmp.ts';
import { COLOUR_CHANNELS, fitsColour, MOST_CHANNELS } from './channels.ts';

// Images are decoded one a thread, many at a time: threads inside a decode and a cache of results only cost.
sharp.concurrency(1);
sharp.cache(false);

// `error` stops at truncated files and goes on after small defects, as most viewers do. Colour profiles are left
// alone, as in OpenCV: a network sees the stored values.
const READING = { failOn: 'error', ignoreIcc: true, limitInputChannels: MOST_CHANNELS } as const;

/** An image that can be decoded, but not be used; the message says why. */
export class UnsuitableImage extends Error {}

/** What a file holds: one picture, or a stack of grey pages that are channels. */
interface Stored {
  channels: number;
  stacked: boolean;
  /** Upright. */
  width: number;
  height: number;
}

/**
 * Decodes an image, turned upright by its EXIF orientation, for a network of 3 or 1 channels to RGB (alpha dropped, grey
 * repeated), for any other to exactly its channels: the samples of a pixel, or the pages of a TIFF stack. 16-bit samples
 * keep their upper byte.
 * @param input path of a file, or its bytes
 * @throws {UnsuitableImage} for other numbers of channels, samples that are no 8 or 16-bit whole numbers
 * @throws an error of the decoder for a file that cannot be decoded
 */
export async function decodePixels(input: string | Uint8Array, channels = 3): Promise<RawImage> {
  if (maybeBmp(input)) return decodeBitmap(input, channels);
  if (fitsColour(channels) && !maybeTiff(input)) return decodeColour(input);
  const stored = await describe(input, channels);
  if (stored.stacked || stored.channels === 2) return decodePlanes(input, stored);
  return fitsColour(channels) ? decodeColour(input) : decodeSamples(input, stored);
}

/** {@link decodePixels} in the form that the loaders' native code takes. */
export async function decodeImage(input: string | Uint8Array, channels = 3): Promise<SourceImage> {
  return groupChannels(await decodePixels(input, channels));
}

/** Interleaved pixels as pictures of three channels one after another, the last one filled up with zeros. */
export function groupChannels({ data, width, height, channels }: RawImage): SourceImage {
  if (channels === 3) return { pixels: data, width, height };
  const area = width * height;
  const pixels = new Uint8Array(Math.ceil(channels / 3) * area * 3);
  for (let channel = 0; channel < channels; channel++) {
    let to = Math.floor(channel / 3) * area * 3 + (channel % 3);
    for (let from = channel; from < area * channels; from += channels, to += 3) pixels[to] = data[from]!;
  }
  return { pixels, width, height };
}

/**
 * Width and height of an image after its EXIF orientation, read from its header.
 * @throws as {@link decodePixels}
 */
export async function probeImage(path: string, channels: number): Promise<{ width: number; height: number }> {
  const { width, height } = maybeBmp(path) ? await probeBitmap(path) : await describe(path, channels);
  return { width, height };
}

/** Is it, by its name or its first bytes, a bitmap? */
export function maybeBmp(input: string | Uint8Array): boolean {
  return typeof input === 'string' ? /\.bmp$/i.test(input) : isBmp(input);
}

async function decodeBitmap(input: string | Uint8Array, channels: number): Promise<RawImage> {
  const bytes = typeof input === 'string' ? await readFile(input) : Buffer.from(input);
  // The name is wrong: whatever it is, the other decoder may know it.
  if (!isBmp(bytes)) return decodePixels(bytes, channels);
  if (!fitsColour(channels)) throw wrongCount('3 channels', channels);
  return decodeBmp(bytes);
}

async function probeBitmap(path: string): Promise<{ width: number; height: number }> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(BMP_HEAD), 0, BMP_HEAD, 0);
    if (!isBmp(buffer)) return await describe(path, COLOUR_CHANNELS);
    const { width, height, offset, stride } = readBmpHeader(buffer.subarray(0, bytesRead));
    if (offset + stride * height > (await file.stat()).size) throw new BmpError('the file is truncated');
    return { width, height };
  } finally {
    await file.close();
  }
}

function wrongCount(given: string, wanted: number): UnsuitableImage {
  return new UnsuitableImage(`it has ${given}, the network takes ${wanted}`);
}

function maybeTiff(input: string | Uint8Array): boolean {
  if (typeof input === 'string') return /\.tiff?$/i.test(input);
  return (input[0] === 0x49 || input[0] === 0x4d) && input[0] === input[1];
}

/** What a file holds, if a network of so many channels can use it. */
async function describe(input: string | Uint8Array, wanted: number): Promise<Stored> {
  const { autoOrient, pages = 1, channels: bands, depth, format } = await sharp(input, READING).metadata();
  if (depth !== 'ushort' && depth !== 'uchar') {
    throw new UnsuitableImage(`its samples are of type ${depth}: 8 or 16-bit whole numbers can be read`);
  }
  // An animation's first frame stands for it; the grey pages of a TIFF are channels.
  const stacked = format === 'tiff' && pages > 1 && bands === 1;
  const channels = stacked ? pages : bands;
  const fits = fitsColour(wanted) ? (stacked ? channels === 3 : channels <= 4) : channels === wanted;
  if (!fits) {
    const given = stacked ? `${channels} pages of one channel` : `${channels} channels`;
    throw wrongCount(given, wanted);
  }
  return { channels, stacked, ...autoOrient };
}

async function decodeColour(input: string | Uint8Array): Promise<RawImage> {
  const { data, info } = await sharp(input, READING)
    .autoOrient()
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new UnsuitableImage(`it has ${info.channels} channels`);
  return { data, width: info.width, height: info.height, channels: 3 };
}

async function decodeSamples(input: string | Uint8Array, { channels }: Stored): Promise<RawImage> {
  const { data, info } = await sharp(input, READING).autoOrient().raw().toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  // Ink is turned into light on the way: four channels of it are no data.
  if ((info.channels as number) !== channels) {
    throw wrongCount(`${info.channels} channels`, channels);
  }
  return { data, width, height, channels };
}

/** Channel by channel: pages of a stack, or grey (three times, as the decoder has it) and its alpha. */
async function decodePlanes(
  input: string | Uint8Array,
  { channels, stacked, width, height }: Stored,
): Promise<RawImage> {
  const pixels = new Uint8Array(width * height * channels);
  for (let channel = 0; channel < channels; channel++) {
    const { data, info } = await sharp(input, { ...READING, page: stacked ? channel : 0 })
      .autoOrient()
      .extractChannel(stacked || channel === 0 ? 0 : 'alpha')
      .raw()
      .toBuffer({ resolveWithObject: true });
    if (info.width !== width || info.height !== height) {
      const sizes = `${info.width} x ${info.height} and ${width} x ${height} pixels`;
      throw new UnsuitableImage(`its pages, which are its channels, differ in size: ${sizes}`);
    }
    for (let from = 0, to = channel; from < data.length; from++, to += channels) pixels[to] = data[from]!;
  }
  return { data: pixels, width, height, channels };
}

/**
 * Why a file could not be decoded. The decoder keeps its messages in one buffer for all threads, so that of
 * another file may be in it: none of them is repeated here.
 */
export function decodeFailure(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof UnsuitableImage || error instanceof BmpError) return message;
  if (code === 'ENOENT' || message.startsWith('Input file is missing')) return 'no such file';
  return typeof code === 'string' ? message : 'not an image that can be decoded';
}
