import assert from 'node:assert/strict';
import path from 'node:path';
import { it } from 'node:test';
import { largestStride, wholeStrides } from '../src/engine/image-size.ts';
import { generateShapes, YOLO } from '../src/index.ts';
import { scratchFolder, write } from './scratch.ts';

const folder = scratchFolder();

it('sides are whole multiples of the largest stride, and of 32 at least', () => {
  assert.equal(largestStride({ strides: [8, 16] }), 32);
  assert.equal(largestStride({ strides: [8, 16, 32, 64] }), 64);
  assert.deepEqual([wholeStrides(96, 64), wholeStrides(128, 64)], [128, 128]);
});

it('a network of stride 64 trains, validates and predicts on pictures that fit it', async () => {
  const down = (from: number) => [from, 1, 'Conv', [8, 3, 2]];
  const table = {
    nc: 1,
    backbone: Array.from({ length: 6 }, () => down(-1)),
    head: [[[4, 5], 1, 'Detect', ['nc']]],
  };
  const shapes = { out: path.join(folder, 'shapes'), train: 4, val: 3, imgsz: 96, seed: 0 };
  const { yaml: data } = await generateShapes({ ...shapes, classes: ['circle'] });
  const detector = await YOLO.load(write(folder, 'p6.yaml', JSON.stringify(table)));
  const texts: string[] = [];
  const onEvent = (event: { event: string; text?: string }) => texts.push(event.text ?? '');
  const common = { data, imgsz: 96, workers: 0, device: 'cpu', plots: false } as const;
  for (const rect of [false, true]) {
    const training = {
      epochs: 1,
      batch: 2,
      amp: false,
      rect,
      project: folder,
      name: `rect-${rect}`,
    } as const;
    const report = await detector.train({ ...common, ...training, onEvent });
    assert.ok(Number.isFinite(report.box.map));
  }
  assert.ok(texts.includes('imgsz=96 is not a multiple of 64: using 128'));
  assert.ok(Number.isFinite((await detector.val(common)).box.map));
  const results = await detector.predict(path.join(folder, 'shapes/images/val'), {
    imgsz: 96,
    device: 'cpu',
  });
  assert.equal(results.length, 3);
});
