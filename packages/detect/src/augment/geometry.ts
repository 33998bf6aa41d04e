/**
 * The geometry of images and boxes: letterbox, mosaic placement, affine maps. Lengths are pixels; a box is
 * x1 y1 x2 y2 in continuous coordinates; matrices are row-major 3x3.
 */
import { roundHalfEven } from '../rounding.ts';

export type Matrix = readonly [number, number, number, number, number, number, number, number, number];
export type Rectangle = readonly [x1: number, y1: number, x2: number, y2: number];

/** A box with its class, in pixels. */
export interface PlacedBox {
  cls: number;
  box: Rectangle;
}

export const IDENTITY: Matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1];

export interface Size {
  width: number;
  height: number;
}

/** Size of an image whose long side becomes `imgsz`, the other rounded up; an image of that size is unchanged. */
export function fitLongSide({ width, height }: Size, imgsz: number): Size {
  const ratio = imgsz / Math.max(width, height);
  if (ratio === 1) return { width, height };
  return {
    width: Math.min(Math.ceil(width * ratio), imgsz),
    height: Math.min(Math.ceil(height * ratio), imgsz),
  };
}

export interface LetterboxOptions {
  /** Pad only up to the next multiple of `stride` instead of the whole shape. */
  auto?: boolean;
  /** Stretch to the shape, without padding. */
  scaleFill?: boolean;
  /** Enlarge small images too (false for validation). */
  scaleUp?: boolean;
  /** Pad on both sides; otherwise only right and below. */
  center?: boolean;
  stride?: number;
}

export interface Letterbox {
  /** Scale along x and y. */
  ratio: [number, number];
  /** Size of the scaled image without its padding. */
  width: number;
  height: number;
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** How an image fits into `shape` with its proportions kept: scale, then padding of the rest. */
export function letterbox(image: Size, shape: Size, options: LetterboxOptions = {}): Letterbox {
  const { auto = false, scaleFill = false, scaleUp = true, center = true, stride = 32 } = options;
  let scale = Math.min(shape.height / image.height, shape.width / image.width);
  if (!scaleUp) scale = Math.min(scale, 1);
  let ratio: [number, number] = [scale, scale];
  let width = roundHalfEven(image.width * scale);
  let height = roundHalfEven(image.height * scale);
  let padX = shape.width - width;
  let padY = shape.height - height;
  if (auto) {
    padX %= stride;
    padY %= stride;
  } else if (scaleFill) {
    [padX, padY] = [0, 0];
    ({ width, height } = shape);
    ratio = [shape.width / image.width, shape.height / image.height];
  }
  // An odd pixel of padding goes right and down.
  const left = center ? Math.floor(padX / 2) : 0;
  const top = center ? Math.floor(padY / 2) : 0;
  return { ratio, width, height, left, top, right: padX - left, bottom: padY - top };
}

/** Where a tile of a mosaic lies: on the 2s x 2s canvas, in its own image, and its image's origin on the canvas. */
export interface MosaicTile {
  canvas: Rectangle;
  tile: Rectangle;
  pad: [x: number, y: number];
}

/**
 * Places image `index` (0 top left, 1 top right, 2 bottom left, 3 bottom right) of a four-image mosaic of
 * size s: the images meet at `centre`, and what does not fit on the canvas is cut off.
 */
export function mosaicTile(
  index: number,
  centre: readonly [number, number],
  s: number,
  image: Size,
): MosaicTile {
  const left = index % 2 === 0;
  const upper = index < 2;
  const [cx, cy] = centre;
  const x1 = left ? Math.max(cx - image.width, 0) : cx;
  const x2 = left ? cx : Math.min(cx + image.width, 2 * s);
  const y1 = upper ? Math.max(cy - image.height, 0) : cy;
  const y2 = upper ? cy : Math.min(cy + image.height, 2 * s);
  const padX = left ? cx - image.width : cx;
  const padY = upper ? cy - image.height : cy;
  return { canvas: [x1, y1, x2, y2], tile: [x1 - padX, y1 - padY, x2 - padX, y2 - padY], pad: [padX, padY] };
}

/** The random numbers of one affine augmentation. */
export interface AffineParameters {
  /** Degrees, counter-clockwise. */
  angle: number;
  scale: number;
  /** Degrees. */
  shearX: number;
  shearY: number;
  /** Where the canvas' centre lands, as a fraction of the output. */
  translateX: number;
  translateY: number;
  perspectiveX: number;
  perspectiveY: number;
}

export const NO_AFFINE: AffineParameters = {
  angle: 0,
  scale: 1,
  shearX: 0,
  shearY: 0,
  translateX: 0.5,
  translateY: 0.5,
  perspectiveX: 0,
  perspectiveY: 0,
};

export function multiply(a: Matrix, b: Matrix): Matrix {
  const at = (row: number, column: number) =>
    a[3 * row]! * b[column]! + a[3 * row + 1]! * b[3 + column]! + a[3 * row + 2]! * b[6 + column]!;
  return [at(0, 0), at(0, 1), at(0, 2), at(1, 0), at(1, 1), at(1, 2), at(2, 0), at(2, 1), at(2, 2)];
}

/** The inverse of a matrix; entries are not finite when there is none. */
export function invert([a, b, c, d, e, f, g, h, i]: Matrix): Matrix {
  const A = e * i - f * h;
  const B = f * g - d * i;
  const C = d * h - e * g;
  const n = 1 / (a * A + b * B + c * C);
  return [
    A * n,
    (c * h - b * i) * n,
    (b * f - c * e) * n,
    B * n,
    (a * i - c * g) * n,
    (c * d - a * f) * n,
    C * n,
    (b * g - a * h) * n,
    (a * e - b * d) * n,
  ];
}

/** Canvas to output: T S R P C, that is centring, perspective, rotation with scale, shear, translation. */
export function affineMatrix(parameters: AffineParameters, canvas: Size, output: Size): Matrix {
  const { angle, scale, shearX, shearY, translateX, translateY, perspectiveX, perspectiveY } = parameters;
  const radians = Math.PI / 180;
  const cos = scale * Math.cos(angle * radians);
  const sin = scale * Math.sin(angle * radians);
  const centring: Matrix = [1, 0, -canvas.width / 2, 0, 1, -canvas.height / 2, 0, 0, 1];
  const perspective: Matrix = [1, 0, 0, 0, 1, 0, perspectiveX, perspectiveY, 1];
  const rotation: Matrix = [cos, sin, 0, -sin, cos, 0, 0, 0, 1];
  const shear: Matrix = [1, Math.tan(shearX * radians), 0, Math.tan(shearY * radians), 1, 0, 0, 0, 1];
  const translation: Matrix = [1, 0, translateX * output.width, 0, 1, translateY * output.height, 0, 0, 1];
  return [shear, rotation, perspective, centring].reduce(multiply, translation);
}

/** The axis-aligned box around the mapped corners of a box. */
export function warpBox([x1, y1, x2, y2]: Rectangle, m: Matrix): Rectangle {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const x of [x1, x2]) {
    for (const y of [y1, y2]) {
      const w = m[6] * x + m[7] * y + m[8];
      const u = (m[0] * x + m[1] * y + m[2]) / w;
      const v = (m[3] * x + m[4] * y + m[5]) / w;
      left = Math.min(left, u);
      right = Math.max(right, u);
      top = Math.min(top, v);
      bottom = Math.max(bottom, v);
    }
  }
  return [left, top, right, bottom];
}

export function clipBox([x1, y1, x2, y2]: Rectangle, { width, height }: Size): Rectangle {
  return [clamp(x1, 0, width), clamp(y1, 0, height), clamp(x2, 0, width), clamp(y2, 0, height)];
}

/**
 * Whether a box is still worth learning after a warp: more than 2 px on each side, more than a tenth of its
 * former area (`before` scaled like the image), and an aspect ratio below 100.
 */
export function keepBox(before: Rectangle, after: Rectangle, areaThreshold = 0.1): boolean {
  const tiny = 1e-16;
  const width = after[2] - after[0];
  const height = after[3] - after[1];
  const area = (before[2] - before[0]) * (before[3] - before[1]);
  const aspect = Math.max(width / (height + tiny), height / (width + tiny));
  return width > 2 && height > 2 && (width * height) / (area + tiny) > areaThreshold && aspect < 100;
}

function clamp(x: number, low: number, high: number): number {
  return Math.min(Math.max(x, low), high);
}
