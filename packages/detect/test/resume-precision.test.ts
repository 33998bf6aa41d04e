import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { readEvents } from '../src/engine/events.ts';
import { generateShapes, MezzoError, type TrainOptions, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-resume-precision-'));

// So high a scale that windows overflow, and windows of two batches, one of which reaches across an epoch's end.
const options = (name: string): TrainOptions => ({
  data: path.join(folder, 'shapes', 'data.yaml'),
  project: folder,
  name,
  epochs: 2,
  imgsz: 32,
  batch: 2,
  nbs: 4,
  warmup_epochs: 0,
  workers: 1,
  plots: false,
  close_mosaic: 0,
  amp: 'fp16',
  check: false,
  init_scale: 2 ** 14,
  growth_interval: 2,
  device: 'cpu',
});

async function train(extra: TrainOptions, stop?: (event: TrainEvent) => boolean): Promise<void> {
  const controller = new AbortController();
  const model = await YOLO.load('yolov8n');
  await model.train({
    ...extra,
    signal: controller.signal,
    onEvent: (event) => {
      if (stop?.(event)) controller.abort();
    },
  });
}

const last = (name: string) => path.join(folder, name, 'weights', 'last.safetensors');

const skips = (name: string) =>
  readEvents(path.join(folder, name, 'events.jsonl')).filter(({ event }) => event === 'skip');

before(async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 10, val: 2, imgsz: 32, seed: 1 });
  await train(options('whole'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const at = (epoch: number, step: number) => (event: TrainEvent) =>
  event.event === 'step' && event.epoch === epoch && event.step === step;

const MOMENTS: Record<string, (event: TrainEvent) => boolean> = {
  'after the first batch of all': at(1, 1),
  'in the middle of the second window': at(1, 3),
  'after an epoch that ends within a window': (event) => event.event === 'epoch' && event.epoch === 1,
  'in the middle of a later window': at(2, 4),
};

test('the run to compare with skips steps and ends an epoch within a window', async () => {
  const whole = await readCheckpoint(last('whole'));
  const { steps, skipped } = whole.training!.state;
  assert.equal(skips('whole').length, skipped);
  assert.ok(skipped > 0 && skipped < steps, `${skipped} of ${steps} steps were left out`);
});

for (const [moment, stop] of Object.entries(MOMENTS)) {
  test(`Y10 interrupted ${moment}: scale, tracker, skips and weights go on bit for bit`, async () => {
    const name = moment.replaceAll(' ', '-');
    await assert.rejects(
      train(options(name), stop),
      (error: unknown) => error instanceof MezzoError && error.code === 'INTERRUPTED',
    );
    await train({ resume: last(name) });
    const [whole, resumed] = [await readCheckpoint(last('whole')), await readCheckpoint(last(name))];
    equalTensors(resumed.weights, whole.weights);
    equalTensors(resumed.training!.live, whole.training!.live);
    const facts = ({ training }: typeof whole) => {
      const { scaler, steps, skipped, skippedInARow, hopeless, emaUpdates, lastStep } = training!.state;
      return { scaler, steps, skipped, skippedInARow, hopeless, emaUpdates, lastStep };
    };
    assert.deepEqual(facts(resumed), facts(whole));
    assert.deepEqual(skips(name), skips('whole'));
  });
}
