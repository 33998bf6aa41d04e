/**
 * The training picture in one gather. Mosaic, resize, affine map and flips are composed into one matrix per tile,
 * from output pixels straight to source pixels; the labels go through the same geometry.
 */
import { boxesInArea, freeArea } from './cutmix.ts';
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
  type PlacedBox,
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

/** The images of a picture and of those that its draw joins to it. */
export interface PictureLayers {
  own: LayerImages;
  mixup?: LayerImages;
  cutmix?: LayerImages;
}

/** `imgsz` is the long side that images are scaled to; mosaics need a square output of that side. */
export interface PictureShape {
  imgsz: number;
  output: Size;
  channels: number;
}

export interface TrainingPicture {
  job: WarpJob;
  /** Rows `class cx cy w h`, normalised to the output. */
  labels: Float32Array;
}

interface Layer {
  tiles: WarpTile[];
  /** In pixels of the output, not flipped yet. */
  boxes: PlacedBox[];
}

/** Composes a drawn sample from its images. */
export function trainingPicture(
  draw: SampleDraw,
  layers: PictureLayers,
  shape: PictureShape,
): TrainingPicture {
  const { output, channels } = shape;
  const flips = flipMatrix(draw, output);
  const first = layerOf(draw.layer, layers.own, shape, flips);
  const second = draw.mixup && layers.mixup ? layerOf(draw.mixup.layer, layers.mixup, shape, flips) : null;
  const boxes = [...first.boxes, ...(second?.boxes ?? [])];
  const pasted =
    draw.cutmix && layers.cutmix
      ? paste(draw.cutmix.areas, boxes, layerOf(draw.cutmix.layer, layers.cutmix, shape, flips))
      : null;
  const job = warpJob({
    ...output,
    channels,
    bgr: draw.bgr,
    colour: draw.colour,
    ...(draw.pair ? { pair: draw.pair } : {}),
    tiles: first.tiles,
    blended: second && { tiles: second.tiles, weight: draw.mixup!.weight },
    pasted: pasted && { tiles: pasted.tiles, area: flipArea(pasted.area, draw, output) },
  });
  const rows = labelRows([...boxes, ...(pasted?.boxes ?? [])], output);
  return { job, labels: flipLabels(rows, draw) };
}

/** The part of `layer` that takes the place of the first free area; null when none brings an object along. */
function paste(areas: readonly Rectangle[], boxes: readonly PlacedBox[], layer: Layer) {
  const area = freeArea(areas, boxes);
  const brought = area === null ? [] : boxesInArea(layer.boxes, area);
  return area === null || brought.length === 0 ? null : { tiles: layer.tiles, boxes: brought, area };
}

function layerOf(
  draw: LayerDraw,
  images: LayerImages,
  { imgsz, output }: PictureShape,
  flips: Matrix,
): Layer {
  const canvas = draw.mosaic ? { width: 2 * imgsz, height: 2 * imgsz } : output;
  const matrix = affineMatrix(draw.affine, canvas, output);
  const toCanvas = multiply(invert(matrix), flips);
  const placements = draw.mosaic
    ? mosaic(draw.mosaic.centre, images, imgsz)
    : single(images[0]!, imgsz, output);
  return {
    tiles: placements.map((placement) => tile(placement, toCanvas)),
    boxes: placements.flatMap((placement) =>
      warpedBoxes(placement, matrix, draw.affine.scale, canvas, output),
    ),
  };
}

function mosaic(centre: readonly [number, number], images: LayerImages, imgsz: number): Placement[] {
  return images.flatMap((image, index) => {
    if (!image.source) return [];
    const scaled = fitLongSide(image.source, imgsz);
    const { canvas, pad } = mosaicTile(index, centre, imgsz, scaled);
    return [{ image, source: image.source, scaled, pad, canvas, clip: true }];
  });
}

function single(image: LabelledSource, imgsz: number, output: Size): Placement[] {
  if (!image.source) return [];
  const scaled = fitLongSide(image.source, imgsz);
  const { left, top } = letterbox(scaled, output);
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
  const boxes: PlacedBox[] = [];
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

function warpedBoxes(
  { image, scaled, pad, clip }: Placement,
  matrix: Matrix,
  scale: number,
  canvas: Size,
  output: Size,
): PlacedBox[] {
  return canvasBoxes(image.labels, scaled, pad, clip ? canvas : null).flatMap(({ cls, box }) => {
    const before = box.map((x) => x * scale) as unknown as Rectangle;
    const after = clipBox(warpBox(box, matrix), output);
    return keepBox(before, after) ? [{ cls, box: after }] : [];
  });
}

function labelRows(boxes: readonly PlacedBox[], { width, height }: Size): Float32Array {
  const rows = new Float32Array(boxes.length * LABEL_COLUMNS);
  for (const [i, { cls, box }] of boxes.entries()) {
    const [x1, y1, x2, y2] = box;
    const row = [cls, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height];
    rows.set(row, i * LABEL_COLUMNS);
  }
  return rows;
}

function flipMatrix({ fliplr, flipud }: SampleDraw, { width, height }: Size): Matrix {
  const [right, bottom] = [width - 1, height - 1];
  return [fliplr ? -1 : 1, 0, fliplr ? right : 0, 0, flipud ? -1 : 1, flipud ? bottom : 0, 0, 0, 1];
}

function flipArea([x1, y1, x2, y2]: Rectangle, { fliplr, flipud }: SampleDraw, { width, height }: Size) {
  const [left, right] = fliplr ? [width - x2, width - x1] : [x1, x2];
  const [top, bottom] = flipud ? [height - y2, height - y1] : [y1, y2];
  return [left, top, right, bottom] as const;
}

function flipLabels(labels: Float32Array, { fliplr, flipud }: SampleDraw): Float32Array {
  for (let i = 0; i < labels.length; i += LABEL_COLUMNS) {
    if (fliplr) labels[i + 1] = 1 - labels[i + 1]!;
    if (flipud) labels[i + 2] = 1 - labels[i + 2]!;
  }
  return labels;
}
