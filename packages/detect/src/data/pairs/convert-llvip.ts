/** LLVIP as shipped, written with labels in YOLO's form: the same folders, and `labels/` in place of `Annotations/`. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { writeFolder } from '../../datasets/draft-folder.ts';
import type { DataSet } from '../data-yaml.ts';
import { DataError } from '../errors.ts';
import { scanWarnings } from '../scan.ts';
import { labelText, linkOrCopy, vocNames, type WrittenDataSet } from '../to-yolo.ts';
import { type PairSplit, pairWarnings, scanPairs } from './scan-pairs.ts';

/** LLVIP's names of the splits. */
const SPLITS = { train: 'train', val: 'test' } as const;

/**
 * Writes the pairs below `input` into the new folder `out`. Pictures are linked, or copied to another disk.
 * @throws {DataError} for a folder of another form, and as {@link scanPairs}; then nothing is written
 */
export async function convertLlvipToYolo(
  input: string,
  out: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<WrittenDataSet> {
  const names = Object.entries(SPLITS);
  const missing = names
    .flatMap(([, folder]) => [`visible/${folder}`, `infrared/${folder}`])
    .concat('Annotations')
    .find((folder) => !existsSync(path.join(input, folder)));
  if (missing !== undefined) {
    throw new DataError(`there is no folder ${path.join(input, missing)}`, {
      hint: 'name the folder that holds visible, infrared and Annotations',
    });
  }
  const classes = await vocNames(path.join(input, 'Annotations'));
  const place = (kind: string, name: keyof typeof SPLITS) => path.join(kind, SPLITS[name]);
  const data: DataSet = {
    file: input,
    splits: {
      train: [path.join(input, place('visible', 'train'))],
      val: [path.join(input, place('visible', 'val'))],
    },
    names: classes,
    channels: null,
  };
  const result: WrittenDataSet = {
    from: input,
    to: path.join(out, 'data.yaml'),
    names: classes,
    splits: {},
    warnings: [],
  };
  await writeFolder(out, async (draft) => {
    for (const name of ['train', 'val'] as const) {
      const split = await scanPairs(data, name, { cache: false, ...(signal ? { signal } : {}) });
      const { images, boxes, backgrounds } = split.report;
      result.splits[name] = { images, boxes, backgrounds };
      result.warnings.push(...pairWarnings(name, split.report));
      result.warnings.push(...scanWarnings(name, { ...split.report, skipped: [] }));
      await writePairs(draft, SPLITS[name], split, signal);
    }
    const keys = {
      path: '.',
      train: 'visible/train',
      val: 'visible/test',
      train_ir: 'infrared/train',
      val_ir: 'infrared/test',
      names: new Map(classes.entries()),
    };
    await writeFile(path.join(draft, 'data.yaml'), stringify(keys));
  });
  return result;
}

async function writePairs(
  draft: string,
  folder: string,
  { images }: PairSplit,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const kind of ['visible', 'infrared', 'labels']) {
    await mkdir(path.join(draft, kind, folder), { recursive: true });
  }
  for (const image of images) {
    signal?.throwIfAborted();
    const stem = path.basename(image.path, path.extname(image.path));
    await linkOrCopy(image.path, path.join(draft, 'visible', folder, path.basename(image.path)));
    await linkOrCopy(image.infrared, path.join(draft, 'infrared', folder, path.basename(image.infrared)));
    await writeFile(path.join(draft, 'labels', folder, `${stem}.txt`), labelText(image));
  }
}
