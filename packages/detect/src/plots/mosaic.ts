import path from 'node:path';
import type { Size } from '../augment/geometry.ts';
import type { Detections } from '../metrics/detections.ts';
import { INK } from './axes.ts';
import { type DrawnBox, svgBoxes } from './boxes.ts';
import { drawableNames } from './class-names.ts';
import { asSharp, type RawImage, sideBySide, viewsOf, writeImage } from './raster.ts';
import { fitText, svgText, textWidth } from './text.ts';

const MOST_IMAGES = 16;
const LONGEST_SIDE = 1920;
/** Smaller images are enlarged, so that labels do not cover them. */
const SMALLEST_TILE = 320;
const GAP = 6;
const FONT_SIZE = 13;
/** Below each image, for its name. */
const CAPTION = 22;
/** Predictions below this confidence are not drawn. */
const DRAWN_CONFIDENCE = 0.25;

/** A batch as the network sees it, and what is to be drawn on it. */
export interface MosaicBatch {
  /** [images, height, width, channels], 8 bits each. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** Where each image came from; the file name is shown. */
  readonly paths: readonly string[];
  /** Boxes of each image, in its pixels. */
  readonly boxes: readonly (readonly DrawnBox[])[];
}

/**
 * Draws up to 16 images of a batch in a grid, each with its name below, as in `train_batch0.jpg`; pairs side by side.
 * The picture is about 1920 pixels wide at most.
 */
export async function plotMosaic(batch: MosaicBatch, file: string): Promise<void> {
  const count = Math.min(batch.paths.length, MOST_IMAGES);
  const views = viewsOf(imageOf(batch, 0)).length;
  const columns = Math.ceil(Math.sqrt(count / views));
  const rows = Math.ceil(count / columns);
  const longest = Math.max(batch.width, batch.height);
  const scale = Math.min(LONGEST_SIDE / columns / views / longest, Math.max(1, SMALLEST_TILE / longest));
  const view = { width: Math.round(batch.width * scale), height: Math.round(batch.height * scale) };
  const tile = { width: views * view.width, height: view.height };
  const step = { x: tile.width + GAP, y: tile.height + CAPTION };
  const canvas = whiteImage(columns * step.x - GAP, rows * step.y);
  const overlays: string[] = [];
  for (let i = 0; i < count; i++) {
    const left = (i % columns) * step.x;
    const top = Math.floor(i / columns) * step.y;
    const pixels = await asSharp(sideBySide(viewsOf(imageOf(batch, i))))
      .resize({ ...tile, fit: 'fill' })
      .raw()
      .toBuffer();
    copyRows(pixels, tile, canvas, left, top);
    const svg = svgTile(batch.boxes[i] ?? [], batch.paths[i]!, { view, views }, scale);
    overlays.push(`<g transform="translate(${left} ${top})">${svg}</g>`);
  }
  const { width, height } = canvas;
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${overlays.join('')}</svg>`;
  const data = await asSharp(canvas)
    .composite([{ input: Buffer.from(overlay) }])
    .removeAlpha()
    .raw()
    .toBuffer();
  await writeImage({ ...canvas, data }, file);
}

/**
 * The true boxes of a batch, for drawing.
 *
 * @param targets rows of image index, class, centre x, centre y, width, height; the last four as fractions of the image
 */
export function targetBoxes(
  targets: Float32Array,
  images: number,
  { width, height }: { width: number; height: number },
  names: readonly string[],
): DrawnBox[][] {
  const boxes: DrawnBox[][] = Array.from({ length: images }, () => []);
  const shown = drawableNames(names);
  for (let i = 0; i < targets.length; i += 6) {
    const cls = targets[i + 1]!;
    const [cx, cy, w, h] = [targets[i + 2]!, targets[i + 3]!, targets[i + 4]!, targets[i + 5]!];
    boxes[targets[i]!]!.push({
      xyxy: [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height],
      cls,
      label: shown[cls] ?? `class ${cls}`,
    });
  }
  return boxes;
}

/** The confident detections of one image, for drawing. */
export function detectionBoxes(detections: Detections, names: readonly string[]): DrawnBox[] {
  const { boxes, cls, conf, count } = detections;
  const shown = drawableNames(names);
  return Array.from({ length: count }, (_, i): DrawnBox => {
    const name = shown[cls[i]!] ?? `class ${cls[i]}`;
    const xyxy = [boxes[4 * i]!, boxes[4 * i + 1]!, boxes[4 * i + 2]!, boxes[4 * i + 3]!] as const;
    return { xyxy, cls: cls[i]!, label: `${name} ${conf[i]!.toFixed(2)}` };
  }).filter((_, i) => conf[i]! > DRAWN_CONFIDENCE);
}

function svgTile(
  boxes: readonly DrawnBox[],
  file: string,
  { view, views }: { view: Size; views: number },
  scale: number,
): string {
  const scaled = boxes.map((box) => {
    const [x1, y1, x2, y2] = box.xyxy;
    return { ...box, xyxy: [x1 * scale, y1 * scale, x2 * scale, y2 * scale] as const };
  });
  const note = boxes.length === 0 ? ' (no boxes)' : '';
  const name =
    fitText(path.basename(file), FONT_SIZE, views * view.width - textWidth(note, FONT_SIZE)) + note;
  const drawn = svgBoxes(scaled, view, { fontSize: FONT_SIZE, crowded: 'omit' });
  const everywhere = Array.from(
    { length: views },
    (_, i) => `<g transform="translate(${i * view.width})">${drawn}</g>`,
  );
  return svgText(name, 1, view.height + CAPTION - 6, { size: FONT_SIZE, color: INK }) + everywhere.join('');
}

function imageOf({ data, width, height, channels }: MosaicBatch, index: number): RawImage {
  const bytes = width * height * channels;
  return { data: data.subarray(index * bytes, (index + 1) * bytes), width, height, channels };
}

function whiteImage(width: number, height: number): RawImage {
  return { data: new Uint8Array(width * height * 3).fill(255), width, height, channels: 3 };
}

function copyRows(
  pixels: Uint8Array,
  tile: { width: number; height: number },
  canvas: RawImage,
  left: number,
  top: number,
): void {
  const bytes = tile.width * 3;
  for (let y = 0; y < tile.height; y++) {
    canvas.data.set(pixels.subarray(y * bytes, (y + 1) * bytes), ((top + y) * canvas.width + left) * 3);
  }
}
