/** The jobs of the native warp and letterbox, as the numbers that cross to it. */
import type { Letterbox, Matrix, Rectangle, Size } from './geometry.ts';
import type { ColourJitter } from './hsv.ts';

/** The grey that surrounds images. */
export const BORDER = 114;

/** A decoded image: 8-bit RGB, interleaved, without row padding. */
export interface SourceImage extends Size {
  pixels: Uint8Array;
}

/** A part of a source image and the output pixels that show it. */
export interface WarpTile {
  source: SourceImage;
  /** Output pixel to source pixel; integer coordinates are pixel centres. */
  matrix: Matrix;
  /** The part of the source that is shown, in its pixels. */
  shown: Rectangle;
}

export interface WarpPicture extends Size {
  /** 3 for RGB, 1 for luma. */
  channels: 1 | 3;
  bgr: boolean;
  colour: ColourJitter | null;
  /** One list of tiles, or two that are blended. */
  layers: [WarpTile[]] | [WarpTile[], WarpTile[]];
  /** Weight of the first layer. */
  blend: number;
}

export interface WarpJob {
  numbers: Float64Array;
  sources: Uint8Array[];
}

/** Encodes a picture for `NativeImage.imageWarp`. */
export function warpJob(picture: WarpPicture): WarpJob {
  const { width, height, channels, bgr, colour, blend } = picture;
  const { hue, saturation, value } = colour ?? { hue: 0, saturation: 1, value: 1 };
  // Colour is jittered on three channels only.
  const jitter = colour !== null && channels === 3 ? 1 : 0;
  const numbers = [width, height, channels, BORDER, bgr ? 1 : 0, jitter, hue, saturation, value, blend];
  const sources: Uint8Array[] = [];
  for (const [layer, tiles] of picture.layers.entries()) {
    for (const { source, matrix, shown } of tiles) {
      numbers.push(layer, sources.length, source.width, source.height, ...matrix, ...shown);
      sources.push(source.pixels);
    }
  }
  return { numbers: Float64Array.from(numbers), sources };
}

/** Encodes an image at its place in a canvas for `NativeImage.imageLetterbox`. */
export function letterboxJob(source: Size, box: Letterbox, canvas: Size, channels: 1 | 3): Float64Array {
  return Float64Array.of(
    canvas.width,
    canvas.height,
    channels,
    BORDER,
    source.width,
    source.height,
    box.width,
    box.height,
    box.left,
    box.top,
  );
}

/** Encodes a plain resize for `NativeImage.imageLetterbox`. */
export function resizeJob(source: Size, target: Size): Float64Array {
  return Float64Array.of(
    target.width,
    target.height,
    3,
    BORDER,
    source.width,
    source.height,
    target.width,
    target.height,
    0,
    0,
  );
}
