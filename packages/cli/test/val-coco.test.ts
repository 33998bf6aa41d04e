import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cocoStats } from '@mezzo/detect';
import { cocoTable } from '../src/coco-table.ts';
import { mezzo, type Outcome } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-val-coco-'));
const NAMES = ['circle', 'square', 'triangle'];
const SMALL = ['imgsz=64', 'batch=4', 'workers=0', 'plots=false'];

function here(...words: string[]): Promise<Outcome> {
  return mezzo(words, { OMP_NUM_THREADS: '1' }, folder);
}

interface Entry {
  image_id: number | string;
  file_name: string;
  category_id: number;
  bbox: [number, number, number, number];
  score: number;
}

/** The validation labels as a COCO file with ids of its own: images from 100, categories 7, 9 and 4, a crowd region. */
function cocoFile() {
  const images = readdirSync(join(folder, 'shapes', 'images', 'val')).sort();
  const size = 64;
  const boxes = images.flatMap((file, i) => {
    const rows = readFileSync(
      join(folder, 'shapes', 'labels', 'val', `${file.split('.')[0]}.txt`),
      'utf8',
    ).trim();
    return rows.split('\n').map((row) => {
      const [cls, cx, cy, w, h] = row.split(' ').map(Number) as [number, number, number, number, number];
      const bbox = [(cx - w / 2) * size, (cy - h / 2) * size, w * size, h * size];
      return {
        image_id: 100 + i,
        category_id: [7, 9, 4][cls]!,
        bbox,
        area: 0.7 * bbox[2]! * bbox[3]!,
        iscrowd: 0,
      };
    });
  });
  const annotations = boxes.map((box, i) => ({ id: i + 1, ...box, iscrowd: i === 1 ? 1 : 0 }));
  return {
    images: images.map((file_name, i) => ({ id: 100 + i, file_name, width: size, height: size })),
    annotations,
    categories: [7, 9, 4].map((id, i) => ({ id, name: NAMES[i]! })),
  };
}

before(async () => {
  assert.equal((await here('data', 'shapes', '--out', 'shapes', 'train=12', 'val=6', 'imgsz=64')).code, 0);
  const trained = await here('train', 'data=shapes/data.yaml', ...SMALL, 'amp=false', 'epochs=1');
  assert.equal(trained.code, 0, trained.stderr);
  writeFileSync(join(folder, 'shapes', 'val.json'), JSON.stringify(cocoFile()));
  writeFileSync(
    join(folder, 'shapes', 'coco.yaml'),
    `train: images/train\nval: {annotations: val.json, images: images/val}\nnames: [${NAMES.join(', ')}]\n`,
  );
});
after(() => rmSync(folder, { recursive: true }));

const MODEL = 'model=runs/detect/train/weights/best.safetensors';

function saved<T>(run: string, file: string): T {
  return JSON.parse(readFileSync(join(folder, 'runs', 'detect', run, file), 'utf8')) as T;
}

test('data from a COCO file is evaluated against that file, by its ids', async () => {
  // An untrained network: everything it says counts, however unsure.
  const { code, stdout, stderr } = await here(
    'val',
    MODEL,
    'data=shapes/coco.yaml',
    'coco=true',
    'save_json=true',
    'conf=0',
    'name=own',
    ...SMALL,
  );
  assert.equal(code, 0, stderr);
  const truth = cocoFile();
  const found = saved<Entry[]>('own', 'predictions.json');
  assert.ok(found.length > 100);
  for (const { image_id, file_name, category_id } of found) {
    assert.equal(truth.images.find(({ id }) => id === image_id)?.file_name, file_name);
    assert.ok([7, 9, 4].includes(category_id));
  }
  assert.deepEqual(Object.keys(found[0]!), ['image_id', 'file_name', 'category_id', 'bbox', 'score']);
  const stats = cocoStats(truth as unknown as Parameters<typeof cocoStats>[0], found);
  const metrics = saved<{ map50: number; coco: Record<string, number> }>('own', 'metrics.json');
  assert.deepEqual(metrics.coco, { ...stats });
  for (const line of cocoTable({ ...stats })) assert.ok(stdout.includes(`${line}\n`), line);
  assert.match(
    stdout,
    /\n Average Precision {2}\(AP\) @\[ IoU=0\.50:0\.95 \| area= {3}all \| maxDets=100 \] = \d\.\d{3}\n/,
  );
});

test('labels of the YOLO form: ids from file names, categories from 1, with both recipes', async () => {
  const numbers = [];
  for (const recipe of ['8.4', '8.3']) {
    const run = await here(
      'val',
      MODEL,
      'data=shapes/data.yaml',
      'coco=true',
      'save_json=true',
      'conf=0',
      `recipe=${recipe}`,
      'edges=cut',
      `name=r${recipe}`,
      ...SMALL,
      '--json',
    );
    assert.equal(run.code, 0, run.stderr);
    const summary = JSON.parse(run.stdout) as { coco: Record<string, number> };
    assert.deepEqual(saved(`r${recipe}`, 'metrics.json'), summary);
    const found = saved<Entry[]>(`r${recipe}`, 'predictions.json');
    assert.deepEqual([...new Set(found.map(({ category_id }) => category_id))].sort(), [1, 2, 3]);
    numbers.push(summary.coco);
  }
  for (const coco of numbers) assert.equal(Object.keys(coco).length, 12);
});

test('piped, nothing but text comes out, with and without a wish for no colours', async () => {
  for (const env of [{}, { NO_COLOR: '1' }]) {
    const words = ['val', MODEL, 'data=shapes/data.yaml', ...SMALL];
    const { code, stdout, stderr } = await mezzo(words, { OMP_NUM_THREADS: '1', ...env }, folder);
    assert.equal(code, 0);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
    assert.doesNotMatch(stdout + stderr, /[\x00-\x09\x0b-\x1f\x7f]/);
  }
});
