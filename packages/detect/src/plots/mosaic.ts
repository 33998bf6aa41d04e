import path from 'node:path';
import type { Detections } from '../metrics/detections.ts';
import { type DrawnBox, svgBoxes } from './boxes.ts';
import { asSharp, type RawImage, toRgb, writeImage } from './raster.ts';
import { svgRect } from './svg.ts';
import { fitText, svgText, textWidth } from './text.ts';

const MOST_IMAGES = 16;
const LONGEST_SIDE = 1920;
const GAP = 4;
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

/** Draws up to 16 images of a batch in a grid, as in `train_batch0.jpg`; the picture is at most 1920 pixels wide. */
export async function plotMosaic(batch: MosaicBatch, file: string): Promise<void> {
  const count = Math.min(batch.paths.length, MOST_IMAGES);
  const columns = Math.ceil(Math.sqrt(count));
  const rows = Math.ceil(count / columns);
  const scale = Math.min(1, LONGEST_SIDE / columns / Math.max(batch.width, batch.height));
  const tile = { width: Math.round(batch.width * scale), height: Math.round(batch.height * scale) };
  const canvas = whiteImage(columns * (tile.width + GAP) - GAP, rows * (tile.height + GAP) - GAP);
  const overlays: string[] = [];
  for (let i = 0; i < count; i++) {
    const left = (i % columns) * (tile.width + GAP);
    const top = Math.floor(i / columns) * (tile.height + GAP);
    const pixels = await asSharp(imageOf(batch, i))
      .resize({ ...tile, fit: 'fill' })
      .raw()
      .toBuffer();
    copyRows(pixels, tile, canvas, left, top);
    overlays.push(
      `<g transform="translate(${left} ${top})">${svgTile(batch.boxes[i] ?? [], batch.paths[i]!, tile, scale)}</g>`,
    );
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
  for (let i = 0; i < targets.length; i += 6) {
    const cls = targets[i + 1]!;
    const [cx, cy, w, h] = [targets[i + 2]!, targets[i + 3]!, targets[i + 4]!, targets[i + 5]!];
    boxes[targets[i]!]!.push({
      xyxy: [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height],
      cls,
      label: names[cls] ?? `class ${cls}`,
    });
  }
  return boxes;
}

/** The confident detections of one image, for drawing. */
export function detectionBoxes(detections: Detections, names: readonly string[]): DrawnBox[] {
  const { boxes, cls, conf, count } = detections;
  return Array.from({ length: count }, (_, i): DrawnBox => {
    const name = names[cls[i]!] ?? `class ${cls[i]}`;
    const xyxy = [boxes[4 * i]!, boxes[4 * i + 1]!, boxes[4 * i + 2]!, boxes[4 * i + 3]!] as const;
    return { xyxy, cls: cls[i]!, label: `${name} ${conf[i]!.toFixed(1)}` };
  }).filter((_, i) => conf[i]! > DRAWN_CONFIDENCE);
}

function svgTile(
  boxes: readonly DrawnBox[],
  file: string,
  tile: { width: number; height: number },
  scale: number,
): string {
  const scaled = boxes.map((box) => {
    const [x1, y1, x2, y2] = box.xyxy;
    return { ...box, xyxy: [x1 * scale, y1 * scale, x2 * scale, y2 * scale] as const };
  });
  const size = Math.max(10, Math.min(16, tile.width / 24));
  const name = fitText(path.basename(file), size, tile.width - size);
  const height = size * 1.4;
  return (
    svgRect(0, tile.height - height, textWidth(name, size) + size * 0.8, height, {
      fill: '#000000',
      opacity: 0.55,
    }) +
    svgText(name, size * 0.4, tile.height - size * 0.35, { size, color: '#ffffff' }) +
    svgBoxes(scaled, tile, { fontSize: size })
  );
}

function imageOf({ data, width, height, channels }: MosaicBatch, index: number): RawImage {
  const bytes = width * height * channels;
  return toRgb({ data: data.subarray(index * bytes, (index + 1) * bytes), width, height, channels });
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
