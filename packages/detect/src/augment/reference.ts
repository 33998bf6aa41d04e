/**
 * Augmentation one step after another, as its definitions read: resize, mosaic, warp, colour, flip. Slow and
 * plain; the training path does the same in one gather and is tested against this one.
 */

import { invert, type Matrix, type Rectangle, type Size } from './geometry.ts';
import type { HsvTables } from './hsv.ts';

/** Interleaved 8-bit pixels without row padding. */
export interface Raster extends Size {
  data: Uint8Array;
  channels: number;
}

export function blankRaster(width: number, height: number, channels: number, level: number): Raster {
  return { data: new Uint8Array(width * height * channels).fill(level), width, height, channels };
}

/** Nearest-neighbour resize (OpenCV INTER_NEAREST). */
export function resizeNearest(image: Raster, { width, height }: Size): Raster {
  const out = blankRaster(width, height, image.channels, 0);
  const c = image.channels;
  for (let y = 0; y < height; y++) {
    const sy = Math.min(Math.floor((y * image.height) / height), image.height - 1);
    for (let x = 0; x < width; x++) {
      const sx = Math.min(Math.floor((x * image.width) / width), image.width - 1);
      const from = (sy * image.width + sx) * c;
      out.data.set(image.data.subarray(from, from + c), (y * width + x) * c);
    }
  }
  return out;
}

/** Copies the part `from` of `image` to `canvas` at (x, y). */
export function paste(canvas: Raster, image: Raster, from: Rectangle, x: number, y: number): void {
  const c = image.channels;
  for (let row = from[1]; row < from[3]; row++) {
    const start = (row * image.width + from[0]) * c;
    const part = image.data.subarray(start, start + (from[2] - from[0]) * c);
    canvas.data.set(part, ((y + row - from[1]) * canvas.width + x) * c);
  }
}

/**
 * Bilinear warp with a constant border (OpenCV warpAffine and warpPerspective, INTER_LINEAR,
 * BORDER_CONSTANT); `m` maps the image to the output, integer coordinates are pixel centres.
 */
export function warpImage(image: Raster, m: Matrix, { width, height }: Size, border: number): Raster {
  const out = blankRaster(width, height, image.channels, border);
  const inverse = invert(m);
  const { channels, data } = image;
  const at = (x: number, y: number, c: number) =>
    x < 0 || y < 0 || x >= image.width || y >= image.height
      ? border
      : data[(y * image.width + x) * channels + c]!;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const w = inverse[6] * x + inverse[7] * y + inverse[8];
      const u = (inverse[0] * x + inverse[1] * y + inverse[2]) / w;
      const v = (inverse[3] * x + inverse[4] * y + inverse[5]) / w;
      const left = Math.floor(u);
      const top = Math.floor(v);
      const fx = u - left;
      const fy = v - top;
      for (let c = 0; c < channels; c++) {
        const upper = at(left, top, c) * (1 - fx) + at(left + 1, top, c) * fx;
        const lower = at(left, top + 1, c) * (1 - fx) + at(left + 1, top + 1, c) * fx;
        out.data[(y * width + x) * channels + c] = Math.round(upper * (1 - fy) + lower * fy);
      }
    }
  }
  return out;
}

/** One RGB colour in OpenCV's 8-bit HSV. */
export function rgbToHsv(r: number, g: number, b: number): [number, number, number] {
  const v = Math.max(r, g, b);
  const range = v - Math.min(r, g, b);
  // OpenCV divides through tables of 12-bit fixed-point reciprocals.
  const sFactor = v === 0 ? 0 : Math.round((255 << 12) / v);
  const hFactor = range === 0 ? 0 : Math.round((180 << 12) / (6 * range));
  const s = (range * sFactor + (1 << 11)) >> 12;
  const sextant = v === r ? g - b : v === g ? b - r + 2 * range : r - g + 4 * range;
  const h = (sextant * hFactor + (1 << 11)) >> 12;
  return [h < 0 ? h + 180 : h, s, v];
}

/** Which of the four levels of `hsvToRgb` red, green and blue take in each sixth of the colour circle. */
const SEXTANTS = [
  [0, 3, 1],
  [2, 0, 1],
  [1, 0, 3],
  [1, 2, 0],
  [3, 1, 0],
  [0, 1, 2],
] as const;

/** One 8-bit HSV colour in RGB, in single precision and truncated as OpenCV 5 does. */
export function hsvToRgb(h: number, s: number, v: number): [number, number, number] {
  const { fround } = Math;
  const position = fround(h * fround(6 / 180));
  const sextant = Math.trunc(position);
  const along = fround(position - sextant);
  const saturation = fround(s * fround(1 / 255));
  const value = fround(v * fround(1 / 255));
  const lowered = (part: number) => fround(value * fround(1 - fround(saturation * part)));
  const levels = [value, lowered(1), lowered(along), lowered(fround(1 - along))] as const;
  const [r, g, b] = SEXTANTS[sextant % 6]!;
  const byte = (level: number) => Math.trunc(fround(level * 255));
  return [byte(levels[r]), byte(levels[g]), byte(levels[b])];
}

/** HSV jitter of an RGB image through look-up tables, in place. */
export function jitterHsv(image: Raster, tables: HsvTables): void {
  const { data } = image;
  for (let i = 0; i < data.length; i += 3) {
    const [h, s, v] = rgbToHsv(data[i]!, data[i + 1]!, data[i + 2]!);
    data.set(hsvToRgb(tables.hue[h]!, tables.saturation[s]!, tables.value[v]!), i);
  }
}

/** Luma of an RGB image with OpenCV's 14-bit weights. */
export function toGray(image: Raster): Raster {
  const out = blankRaster(image.width, image.height, 1, 0);
  const { data } = image;
  for (let i = 0; i < out.data.length; i++) {
    out.data[i] = (data[3 * i]! * 4899 + data[3 * i + 1]! * 9617 + data[3 * i + 2]! * 1868 + (1 << 13)) >> 14;
  }
  return out;
}

/** Mirrors an image left-right (`horizontal`) or upside down. */
export function flip(image: Raster, horizontal: boolean): Raster {
  const { width, height, channels } = image;
  const out = blankRaster(width, height, channels, 0);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = ((horizontal ? y : height - 1 - y) * width + (horizontal ? width - 1 - x : x)) * channels;
      out.data.set(image.data.subarray(from, from + channels), (y * width + x) * channels);
    }
  }
  return out;
}
