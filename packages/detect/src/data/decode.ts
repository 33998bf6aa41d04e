/** Decoding of image files to 8-bit RGB, off the JavaScript thread. */
import sharp from 'sharp';
import type { SourceImage } from '../augment/warp-job.ts';

// Images are decoded one a thread, many at a time: threads inside a decode and a cache of results only cost.
sharp.concurrency(1);
sharp.cache(false);

// `error` stops at truncated files and goes on after small defects, as most viewers do. Colour profiles are left
// alone, as in OpenCV: a network sees the stored values.
const READING = { failOn: 'error', ignoreIcc: true } as const;

/**
 * Decodes an image: turned upright by its EXIF orientation, alpha dropped, grey and 16-bit images brought to
 * three 8-bit channels.
 * @param input path of a file, or its bytes
 * @throws an error whose message says why the file cannot be decoded
 */
export async function decodeImage(input: string | Uint8Array): Promise<SourceImage> {
  const { data, info } = await sharp(input, READING)
    .autoOrient()
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`it has ${info.channels} channels`);
  return { pixels: data, width: info.width, height: info.height };
}

/** Width and height of an image after its EXIF orientation, read from its header. */
export async function probeImage(path: string): Promise<{ width: number; height: number }> {
  const { autoOrient } = await sharp(path, READING).metadata();
  return autoOrient;
}

/**
 * Why a file could not be decoded. The decoder keeps its messages in one buffer for all threads, so that of
 * another file may be in it: none of them is repeated here.
 */
export function decodeFailure(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || message.startsWith('Input file is missing')) return 'no such file';
  return typeof code === 'string' ? message : 'not an image that can be decoded';
}
