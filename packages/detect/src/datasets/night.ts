/** A generated detection set of pairs: streets at night in visible light and in infrared. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { mapConcurrent } from '../data/concurrent.ts';
import { writeFolder } from './draft-folder.ts';
import { NightPainter } from './night/draw.ts';
import { NIGHT_LAYOUTS, type NightLayout, type NightLayoutName } from './night/layout.ts';
import { NIGHT_CLASSES, NIGHT_PRESETS, type NightPresetName } from './night/presets.ts';

export interface NightOptions {
  /** Folder to write; it must be new or empty. */
  out: string;
  /** Pairs to train on, and to validate on. */
  train: number;
  val: number;
  /** Side of a picture, pixels. */
  imgsz: number;
  seed: number;
  /** `night`: neither picture shows all objects. `clear-ir`: infrared does. */
  preset?: NightPresetName;
  layout?: NightLayoutName;
  signal?: AbortSignal;
}

export interface NightSet {
  /** Absolute path of the data.yaml. */
  yaml: string;
  train: number;
  val: number;
  classes: string[];
  /** Labelled objects. */
  boxes: number;
}

const WRITERS = 8;
const SPLITS = ['train', 'val'] as const;

/**
 * Writes the set. The same options give the same files, byte for byte; a failure leaves nothing behind.
 * @throws {DataError} when the folder holds something already or cannot be written
 */
export async function generateNight(options: NightOptions): Promise<NightSet> {
  const { train, val, imgsz, seed, preset = 'night', layout = 'yolofuse', signal } = options;
  const out = path.resolve(options.out);
  const painter = new NightPainter(NIGHT_PRESETS[preset], imgsz, seed);
  const folders: NightLayout = NIGHT_LAYOUTS[layout];
  const boxes = await writeFolder(out, async (draft) => {
    let count = 0;
    for (const [split, name] of SPLITS.entries()) {
      const pairs = Array.from({ length: { train, val }[name] }, (_, sample) => sample);
      await makeFolders(draft, folders, name);
      const written = await mapConcurrent(pairs, WRITERS, (sample) => {
        signal?.throwIfAborted();
        return writePair({ draft, folders, painter, imgsz, name, split, sample });
      });
      count += written.reduce((sum, objects) => sum + objects, 0);
    }
    await writeFile(path.join(draft, 'data.yaml'), dataYaml(folders, preset, seed));
    return count;
  });
  return { yaml: path.join(out, 'data.yaml'), train, val, classes: [...NIGHT_CLASSES], boxes };
}

async function makeFolders(draft: string, folders: NightLayout, name: 'train' | 'val'): Promise<void> {
  for (const kind of ['visible', 'infrared', 'labels'] as const) {
    await mkdir(path.join(draft, folders[kind][name]), { recursive: true });
  }
}

interface PairToWrite {
  draft: string;
  folders: NightLayout;
  painter: NightPainter;
  imgsz: number;
  name: 'train' | 'val';
  split: number;
  sample: number;
}

/** Writes a pair and its label file; returns the number of labelled objects. */
async function writePair(pair: PairToWrite): Promise<number> {
  const { draft, folders, painter, imgsz, name, split, sample } = pair;
  const { visible, infrared, labels } = painter.draw(split, sample);
  const stem = folders.stem(name, sample);
  const image = `${stem}.jpg`;
  const write = (pixels: Uint8Array, channels: 1 | 3, folder: string) =>
    sharp(pixels, { raw: { width: imgsz, height: imgsz, channels } })
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .jpeg({ quality: 92 })
      .toFile(path.join(draft, folder, image));
  await Promise.all([
    write(visible, 3, folders.visible[name]),
    write(infrared, 1, folders.infrared[name]),
    writeFile(
      path.join(draft, folders.labels[name], `${stem}${folders.labelSuffix}`),
      folders.label({ image, side: imgsz, rows: labels }),
    ),
  ]);
  return labels.length;
}

function dataYaml({ visible, infrared }: NightLayout, preset: NightPresetName, seed: number): string {
  return [
    `# Generated streets at night, preset ${preset}, seed ${seed}.`,
    'path: .',
    `train: ${visible.train}`,
    `val: ${visible.val}`,
    `train_ir: ${infrared.train}`,
    `val_ir: ${infrared.val}`,
    'names:',
    ...NIGHT_CLASSES.map((name, id) => `  ${id}: ${name}`),
    '',
  ].join('\n');
}
