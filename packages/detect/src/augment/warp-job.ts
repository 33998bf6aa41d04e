/** The jobs of the native warp and letterbox, as the numbers that cross to it. */
import type { Letterbox, Matrix, Rectangle, Size } from './geometry.ts';
import type { ColourJitter } from './hsv.ts';
import type { PairDraw } from './pair-draw.ts';

/** The grey that surrounds images. */
export const BORDER = 114;

/**
 * A decoded image: 8-bit, three channels interleaved, without row padding; further channels follow as further such
 * pictures. A pair is two of them, visible light first, infrared three times grey.
 */
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
  /** 3 for RGB, 1 for luma; other numbers as stored. */
  channels: number;
  bgr: boolean;
  colour: ColourJitter | null;
  tiles: WarpTile[];
  /** The picture joins the pictures of a pair: colour is that of the first three channels, this of those after them. */
  pair?: PairDraw;
  /** A second picture, and the weight of the first one. */
  blended: { tiles: WarpTile[]; weight: number } | null;
  /** A picture that shows inside a rectangle of whole output pixels. */
  pasted: { tiles: WarpTile[]; area: Rectangle } | null;
}

export interface WarpJob {
  numbers: Float64Array;
  sources: Uint8Array[];
}

/** Encodes a picture for `NativeImage.imageWarp`. */
export function warpJob(picture: WarpPicture): WarpJob {
  const { width, height, channels, bgr, colour, pair, tiles, blended, pasted } = picture;
  const { hue, saturation, value } = colour ?? { hue: 0, saturation: 1, value: 1 };
  // Channels that are no colours have none to change.
  const coloured = channels === 3 || pair !== undefined;
  const numbers = [width, height, channels, BORDER, coloured && bgr ? 1 : 0];
  numbers.push(coloured && colour !== null ? 1 : 0, hue, saturation, value);
  numbers.push(blended?.weight ?? 1, ...(pasted?.area ?? [0, 0, 0, 0]), ...pairNumbers(pair));
  const sources: Uint8Array[] = [];
  for (const [layer, tilesOfLayer] of [tiles, blended?.tiles ?? [], pasted?.tiles ?? []].entries()) {
    for (const { source, matrix, shown } of tilesOfLayer) {
      numbers.push(layer, sources.length, source.width, source.height, ...matrix, ...shown);
      sources.push(source.pixels);
    }
  }
  return { numbers: Float64Array.from(numbers), sources };
}

const NOISE_STEPS = 256;
const DROPPED = { visible: 1, infrared: 2 } as const;

function pairNumbers(pair: PairDraw | undefined): number[] {
  if (pair === undefined) return [0, 1, 0, 0, 0, 0];
  const { gain, offset, noise, seed, dropped } = pair;
  return [1, gain, offset, Math.round(noise * NOISE_STEPS), seed, dropped === null ? 0 : DROPPED[dropped]];
}

/** Encodes an image at its place in a canvas for `NativeImage.imageLetterbox`. */
export function letterboxJob(source: Size, box: Letterbox, canvas: Size, channels: number): Float64Array {
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
