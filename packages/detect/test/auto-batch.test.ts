import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { cuda, GradScaler, getRngState, keep, manualSeed, memory, randint } from '@mezzo/torch';
import { autoBatch, lineThrough, measureBatches, rounded } from '../src/engine/auto-batch.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import {
  buildModel,
  buildOptimizer,
  choosePrecision,
  generateShapes,
  lossOf,
  ModelEma,
  TrainStep,
  YOLO,
} from '../src/index.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-auto-batch-'));
const MIB = 2 ** 20;
const SETTINGS = { box: 7.5, cls: 0.5, dfl: 1.5 };

before(() => generateShapes({ out: path.join(folder, 'shapes'), train: 24, val: 2, imgsz: 64, seed: 1 }));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a line through the measurements, and sizes that are rounded down', () => {
  // The first lies above the line: gradients take more there than what the pictures leave behind.
  const points = [
    { batch: 2, bytes: 200 },
    { batch: 4, bytes: 220 },
    { batch: 8, bytes: 340 },
  ];
  assert.deepEqual(lineThrough(points), { fixed: 100, each: 30 });
  assert.deepEqual(lineThrough(points.slice(0, 1)), { fixed: 0, each: 100 });
  // Blocks so coarse that nothing seems to grow: the picture's whole share is reckoned with.
  assert.deepEqual(
    lineThrough([
      { batch: 4, bytes: 64 },
      { batch: 8, bytes: 64 },
    ]),
    { fixed: 0, each: 8 },
  );
  assert.equal(lineThrough([]), null);
  assert.deepEqual(
    [-3, 0, 1, 3, 5, 7, 15, 16, 23, 31, 130].map(rounded),
    [1, 1, 1, 3, 4, 6, 14, 16, 16, 24, 128],
  );
});

function subjectOf(channels: number, imgsz: number) {
  manualSeed(0);
  const model = buildModel('yolov8n', { nc: 3, ch: channels });
  const precision = choosePrecision('fp32', 'cpu', null);
  const loss = lossOf(model, { ...SETTINGS, imgsz } as never);
  return { model, loss, precision, device: 'cpu', frozen: [], imgsz, boxes: 8, images: 1000 };
}

test('what is foretold of a batch is what its training takes, within a tenth', () => {
  const subject = subjectOf(3, 128);
  const [batch, boxes] = [16, 8];
  const before = getRngState('cpu');
  const line = lineThrough(measureBatches(subject))!;
  assert.deepEqual(getRngState('cpu'), before);
  const { model, loss, precision } = subject;
  const optimizer = buildOptimizer(model, { name: 'AdamW', lr: 1e-3, momentum: 0.9, weightDecay: 5e-4 });
  const step = new TrainStep({
    ...{ model: model.train(), loss, optimizer, precision, device: 'cpu', clip: 10 },
    ema: new ModelEma(model, model.clone()),
    scaler: new GradScaler({ device: 'cpu', enabled: false }),
  });
  const images = keep(randint(0, 256, [batch, 3, 128, 128], { dtype: 'uint8' }));
  const rows = Float32Array.from(
    Array.from({ length: batch * boxes }, (_, i) => [i % batch, i % 3, 0.5, 0.5, 0.3, 0.4]).flat(),
  );
  step.run(() => images, rows);
  memory.collectGarbage();
  memory.resetPeak();
  const live = memory.stats().liveBytes;
  step.run(() => images, rows);
  const taken = memory.stats().peakBytes - live;
  const foretold = line.fixed + batch * line.each;
  assert.ok(Math.abs(foretold / taken - 1) < 0.1, `${foretold} foretold, ${taken} taken`);
});

test('the channels of the model count, and the part that is asked for', () => {
  const fits = (channels: number, share: number) => {
    memory.collectGarbage();
    memory.setLimit(memory.stats().liveBytes + 1060 * MIB);
    try {
      return autoBatch(share, subjectOf(channels, 64));
    } finally {
      memory.setLimit(0);
    }
  };
  const [whole, few, many] = [fits(3, -1), fits(3, 0.3), fits(60, -1)];
  assert.match(
    whole.text,
    /^AutoBatch: batch=\d+ takes \d+ MiB of 6\d\d MiB \(60 % of the 1\.02 GiB that are free\): \d+ MiB and \d\.\d\d MiB for each picture of 64x64x3 \(measured with 2, 4 and 8\)$/,
  );
  assert.match(few.text, / \(30 % of the 1\.02 GiB that are free\): /);
  assert.equal(whole.batch % 8, 0);
  assert.ok(few.batch < whole.batch / 1.8, `${few.batch} of ${whole.batch}`);
  assert.ok(many.batch < whole.batch, `${many.batch} with 60 channels, ${whole.batch} with 3`);
});

test('mezzo train and mezzo check with batch=-1 and a part: a batch that fits, told in a line', async () => {
  const messages: string[] = [];
  const onEvent = (event: TrainEvent) => {
    if (event.event === 'message') messages.push(event.text);
    if (event.event === 'start') messages.push(`start with ${event.batch}`);
    assert.notEqual(event.event, 'recovery');
  };
  const data = path.join(folder, 'shapes', 'data.yaml');
  const options = { data, imgsz: 64, workers: 1, device: 'cpu', onEvent } as const;
  memory.collectGarbage();
  memory.setLimit(memory.stats().liveBytes + 160 * MIB);
  try {
    const model = await YOLO.load('yolov8n');
    const amp = 'fp32';
    await model.train({ ...options, amp, batch: 0.7, epochs: 1, project: folder, plots: false, val: false });
    const batch = Number(/^AutoBatch: batch=(\d+)/.exec(messages.find((text) => /^Auto/.test(text))!)![1]);
    assert.ok(batch >= 2 && batch <= 24, String(batch));
    assert.ok(messages.includes(`start with ${batch}`));
    messages.length = 0;
    const report = await model.check({ ...options, amp: 'bf16', batch: -1 });
    assert.match(messages.join('\n'), new RegExp(`^AutoBatch: batch=${report.batch}[ ,]`));
  } finally {
    memory.setLimit(0);
  }
});

test('on a GPU: 60 % of what is free, measured in reserved memory, and a training of that batch stays within', {
  skip: cuda.isAvailable() ? false : 'needs a CUDA device',
}, async () => {
  const [free] = cuda.memGetInfo(0);
  const told: TrainEvent[] = [];
  const model = await YOLO.load('yolov8n');
  const data = path.join(folder, 'shapes', 'data.yaml');
  const place = { project: folder, name: 'gpu', plots: false, val: false, check: false } as const;
  await model.train({
    ...{ data, imgsz: 640, device: 0, batch: -1, epochs: 1, workers: 2, ...place },
    onEvent: (event) => told.push(event),
  });
  assert.ok(told.some((event) => event.event === 'message' && /^AutoBatch: batch=\d+/.test(event.text)));
  assert.ok(told.every(({ event }) => event !== 'recovery'));
  assert.ok(cuda.maxMemoryReserved(0) < 0.75 * free);
});
