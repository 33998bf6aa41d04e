import path from 'node:path';
import sharp, { type Sharp } from 'sharp';

/** Decoded pixels: rows from the top, channels interleaved, 8 bits each. */
export interface RawImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: number;
}

/** Suffixes of files that `sharp` writes; pictures of other kinds are saved as JPEG. */
const WRITTEN = new Set(['.jpg', '.jpeg', '.png', '.webp', '.tif', '.tiff']);

/** The first three channels as RGB, or the first one repeated. */
export function toRgb(image: RawImage): RawImage {
  if (image.channels === 3) return image;
  const { data, width, height, channels } = image;
  const rgb = new Uint8Array(width * height * 3);
  const [green, blue] = channels >= 3 ? [1, 2] : [0, 0];
  for (let from = 0, to = 0; to < rgb.length; from += channels, to += 3) {
    rgb[to] = data[from]!;
    rgb[to + 1] = data[from + green]!;
    rgb[to + 2] = data[from + blue]!;
  }
  return { data: rgb, width, height, channels: 3 };
}

/** RGB images of one size as one, from left to right. */
export function sideBySide(images: readonly RawImage[]): RawImage {
  const [first] = images as [RawImage];
  if (images.length === 1) return first;
  const { width, height } = first;
  const row = 3 * width;
  const data = new Uint8Array(images.length * row * height);
  for (const [i, image] of images.entries()) {
    for (let y = 0; y < height; y++) {
      data.set(image.data.subarray(y * row, (y + 1) * row), (y * images.length + i) * row);
    }
  }
  return { data, width: images.length * width, height, channels: 3 };
}

/** What a person sees of an image: its first three channels, and of the pictures of two sensors the others as grey. */
export function viewsOf(image: RawImage): RawImage[] {
  const { data, width, height, channels } = image;
  if (channels !== 4 && channels !== 6) return [toRgb(image)];
  const grey = new Uint8Array(width * height);
  for (let i = 0; i < grey.length; i++) grey[i] = data[i * channels + 3]!;
  return [toRgb(image), toRgb({ data: grey, width, height, channels: 1 })];
}

/** Writes an RGB image, by the suffix of the file; see {@link pictureName}. */
export async function writeImage(image: RawImage, file: string): Promise<void> {
  await asSharp(image).jpeg({ quality: 95, force: false }).toFile(file);
}

/** A `sharp` pipeline that reads the pixels. */
export function asSharp({ data, width, height, channels }: RawImage): Sharp {
  return sharp(data, { raw: { width, height, channels: channels as 1 | 2 | 3 | 4 } });
}

/** File name for the picture made from an image: its own, with `.jpg` where such a file cannot be written. */
export function pictureName(source: string): string {
  const { base, name, ext } = path.parse(source);
  return WRITTEN.has(ext.toLowerCase()) ? base : `${name}.jpg`;
}
