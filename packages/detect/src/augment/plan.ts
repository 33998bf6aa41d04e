/**
 * The training picture in one gather. Mosaic, resize, affine map and flips are composed into one matrix per tile,
 * from output pixels straight to source pixels; the labels go through the same geometry.
 */
import type { LayerDraw, SampleDraw } from './draw.ts';
import {
  affineMatrix,
  clipBox,
  fitLongSide,
  invert,
  keepBox,
  letterbox,
  type Matrix,
  mosaicTile,
  multiply,
  type Rectangle,
  type Size,
  warpBox,
} from './geometry.ts';
import { type SourceImage, type WarpJob, type WarpTile, warpJob } from './warp-job.ts';

/** An image with its label rows `class cx cy w h`, normalised to the image. */
export interface LabelledSource {
  /** Null when the file could not be decoded: such a tile stays border. */
  source: SourceImage | null;
  labels: Float32Array;
}

export const LABEL_COLUMNS = 5;

/** An image laid on the canvas: its scaled size, origin and visible part there. */
interface Placement {
  image: LabelledSource;
  source: SourceImage;
  scaled: Size;
  pad: readonly [x: number, y: number];
  canvas: Rectangle;
  /** Boxes are cut at the canvas before the warp (mosaic only). */
  clip: boolean;
}

/** The images of a layer: the sample itself, then the mosaic partners that its draw names. */
export type LayerImages = LabelledSource[];

export interface TrainingPicture {
  job: WarpJob;
  /** Rows `class cx cy w h`, normalised to the output. */
  labels: Float32Array;
}

/**
 * Composes a drawn sample. `layers` holds the images of the first layer and, with mixup, of the second; the
 * output is a square of side `imgsz`.
 */
export function trainingPicture(
  draw: SampleDraw,
  layers: [LayerImages] | [LayerImages, LayerImages],
  imgsz: number,
  channels: 1 | 3,
): TrainingPicture {
  const output = { width: imgsz, height: imgsz };
  const flips = flipMatrix(draw, imgsz);
  const rows: number[] = [];
  const [first, second] = layers;
  const tiles = layerTiles(draw.layer, first, imgsz, flips, rows);
  const blended =
    draw.mixup !== null && second ? layerTiles(draw.mixup.layer, second, imgsz, flips, rows) : null;
  const job = warpJob({
    ...output,
    channels,
    bgr: draw.bgr,
    colour: draw.colour,
    layers: blended ? [tiles, blended] : [tiles],
    blend: blended ? draw.mixup!.weight : 1,
  });
  return { job, labels: flipLabels(Float32Array.from(rows), draw) };
}

function layerTiles(
  draw: LayerDraw,
  images: LayerImages,
  imgsz: number,
  flips: Matrix,
  rows: number[],
): WarpTile[] {
  const side = draw.mosaic ? 2 * imgsz : imgsz;
  const canvas = { width: side, height: side };
  const output = { width: imgsz, height: imgsz };
  const matrix = affineMatrix(draw.affine, canvas, output);
  const toCanvas = multiply(invert(matrix), flips);
  const placements = draw.mosaic ? mosaic(draw.mosaic.centre, images, imgsz) : single(images[0]!, imgsz);
  for (const placement of placements)
    collectLabels(placement, matrix, draw.affine.scale, canvas, output, rows);
  return placements.map((placement) => tile(placement, toCanvas));
}

function mosaic(centre: readonly [number, number], images: LayerImages, imgsz: number): Placement[] {
  return images.flatMap((image, index) => {
    if (!image.source) return [];
    const scaled = fitLongSide(image.source, imgsz);
    const { canvas, pad } = mosaicTile(index, centre, imgsz, scaled);
    return [{ image, source: image.source, scaled, pad, canvas, clip: true }];
  });
}

function single(image: LabelledSource, imgsz: number): Placement[] {
  if (!image.source) return [];
  const scaled = fitLongSide(image.source, imgsz);
  const { left, top } = letterbox(scaled, { width: imgsz, height: imgsz });
  const canvas: Rectangle = [left, top, left + scaled.width, top + scaled.height];
  return [{ image, source: image.source, scaled, pad: [left, top], canvas, clip: false }];
}

/** Output to source: flips and the inverse affine map to the canvas, then the inverse of the resize. */
function tile({ source, scaled, pad, canvas }: Placement, toCanvas: Matrix): WarpTile {
  const scaleX = source.width / scaled.width;
  const scaleY = source.height / scaled.height;
  // Resizing keeps pixel corners in place, not centres: hence the halves.
  const toX = (x: number) => (x - pad[0] + 0.5) * scaleX - 0.5;
  const toY = (y: number) => (y - pad[1] + 0.5) * scaleY - 0.5;
  const toSource: Matrix = [scaleX, 0, toX(0), 0, scaleY, toY(0), 0, 0, 1];
  const [x1, y1, x2, y2] = canvas;
  return {
    source,
    matrix: multiply(toSource, toCanvas),
    shown: [toX(x1 - 0.5), toY(y1 - 0.5), toX(x2 - 0.5), toY(y2 - 0.5)],
  };
}

/** Where the boxes of a placed image lie on the canvas; boxes cut down to nothing are left out. */
export function canvasBoxes(
  labels: Float32Array,
  scaled: Size,
  pad: readonly [number, number],
  clip: Size | null,
) {
  const boxes: { cls: number; box: Rectangle }[] = [];
  for (let i = 0; i < labels.length; i += LABEL_COLUMNS) {
    const cx = labels[i + 1]! * scaled.width + pad[0];
    const cy = labels[i + 2]! * scaled.height + pad[1];
    const halfW = (labels[i + 3]! * scaled.width) / 2;
    const halfH = (labels[i + 4]! * scaled.height) / 2;
    const whole: Rectangle = [cx - halfW, cy - halfH, cx + halfW, cy + halfH];
    const box = clip ? clipBox(whole, clip) : whole;
    if (box[2] > box[0] && box[3] > box[1]) boxes.push({ cls: labels[i]!, box });
  }
  return boxes;
}

function collectLabels(
  { image, scaled, pad, clip }: Placement,
  matrix: Matrix,
  scale: number,
  canvas: Size,
  output: Size,
  rows: number[],
): void {
  for (const { cls, box } of canvasBoxes(image.labels, scaled, pad, clip ? canvas : null)) {
    const before = box.map((x) => x * scale) as unknown as Rectangle;
    const after = clipBox(warpBox(box, matrix), output);
    if (!keepBox(before, after)) continue;
    const [x1, y1, x2, y2] = after;
    const { width, height } = output;
    rows.push(cls, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height);
  }
}

function flipMatrix({ fliplr, flipud }: SampleDraw, imgsz: number): Matrix {
  const end = imgsz - 1;
  return [fliplr ? -1 : 1, 0, fliplr ? end : 0, 0, flipud ? -1 : 1, flipud ? end : 0, 0, 0, 1];
}

function flipLabels(labels: Float32Array, { fliplr, flipud }: SampleDraw): Float32Array {
  for (let i = 0; i < labels.length; i += LABEL_COLUMNS) {
    if (fliplr) labels[i + 1] = 1 - labels[i + 1]!;
    if (flipud) labels[i + 2] = 1 - labels[i + 2]!;
  }
  return labels;
}
