/** A generated detection set: coloured figures on cluttered backgrounds, in YOLO format. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { DataError } from '../data/errors.ts';
import { writeFolder } from './draft-folder.ts';
import { FIGURE_NAMES, type FigureName } from './figures.ts';
import { drawPicture } from './picture.ts';

export interface ShapesOptions {
  /** Folder to write; it must be new or empty. */
  out: string;
  /** Pictures in each split. */
  train: number;
  val: number;
  /** Side of a picture, pixels. */
  imgsz: number;
  seed: number;
  classes?: readonly FigureName[];
  signal?: AbortSignal;
}

export interface ShapesSet {
  /** Absolute path of the data.yaml. */
  yaml: string;
  train: number;
  val: number;
  classes: FigureName[];
  /** Labelled objects. */
  boxes: number;
}

const DEFAULT_CLASSES: readonly FigureName[] = ['circle', 'square', 'triangle'];

/**
 * Writes the set. The same options give the same files, byte for byte; a failure leaves nothing behind.
 * @throws {DataError} when the folder holds something already or cannot be written
 */
export async function generateShapes(options: ShapesOptions): Promise<ShapesSet> {
  const { train, val, imgsz, seed, signal } = options;
  const classes = [...(options.classes ?? DEFAULT_CLASSES)];
  const unknown = classes.find((name) => !FIGURE_NAMES.includes(name));
  if (unknown !== undefined || classes.length === 0) {
    throw new DataError(unknown === undefined ? 'no figure is given' : `there is no figure '${unknown}'`, {
      hint: `figures: ${FIGURE_NAMES.join(', ')}`,
    });
  }
  const out = path.resolve(options.out);
  const boxes = await writeFolder(out, async (draft) => {
    const drawing = { classes, imgsz, seed, signal };
    const first = await writeSplit(draft, 'train', 0, train, drawing);
    const second = await writeSplit(draft, 'val', 1, val, drawing);
    await writeFile(path.join(draft, 'data.yaml'), dataYaml(classes, seed));
    return first + second;
  });
  return { yaml: path.join(out, 'data.yaml'), train, val, classes, boxes };
}

interface Drawing {
  classes: readonly FigureName[];
  imgsz: number;
  seed: number;
  signal?: AbortSignal;
}

/** Writes the pictures and labels of a split; returns the number of labelled objects. */
async function writeSplit(
  folder: string,
  name: string,
  split: number,
  count: number,
  { classes, imgsz, seed, signal }: Drawing,
): Promise<number> {
  const images = path.join(folder, 'images', name);
  const labels = path.join(folder, 'labels', name);
  await mkdir(images, { recursive: true });
  await mkdir(labels, { recursive: true });
  let boxes = 0;
  for (let sample = 0; sample < count; sample++) {
    signal?.throwIfAborted();
    const picture = drawPicture(classes, imgsz, seed, split, sample);
    const stem = String(sample).padStart(5, '0');
    const raw = { width: imgsz, height: imgsz, channels: 3 } as const;
    await sharp(picture.pixels, { raw })
      .jpeg({ quality: 92 })
      .toFile(path.join(images, `${stem}.jpg`));
    const rows = picture.labels.map(([id, ...box]) => `${id} ${box.map((v) => v.toFixed(6)).join(' ')}\n`);
    await writeFile(path.join(labels, `${stem}.txt`), rows.join(''));
    boxes += rows.length;
  }
  return boxes;
}

function dataYaml(classes: readonly string[], seed: number): string {
  return [
    `# Generated figures, seed ${seed}.`,
    'path: .',
    'train: images/train',
    'val: images/val',
    'names:',
    ...classes.map((name, id) => `  ${id}: ${name}`),
    '',
  ].join('\n');
}
