import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import { readEvents } from '../src/engine/events.ts';
import { afterEpoch, afterStep, type Moment, resumableRuns } from './resumable-runs.ts';

// So high a scale that windows overflow, and windows of two batches, one of which reaches across an epoch's end.
const { folder, last, resumed } = resumableRuns(
  { train: 10, val: 2, imgsz: 32 },
  {
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
  },
);

const skips = (name: string) =>
  readEvents(path.join(folder, name, 'events.jsonl')).filter(({ event }) => event === 'skip');

const MOMENTS: Readonly<Record<string, Moment>> = {
  'after the first batch of all': afterStep(1, 1),
  'in the middle of the second window': afterStep(1, 3),
  'after an epoch that ends within a window': afterEpoch(1),
  'in the middle of a later window': afterStep(2, 4),
};

test('the run to compare with skips steps and ends an epoch within a window', async () => {
  const whole = await readCheckpoint(last('whole'));
  const { steps, skipped } = whole.training!.state;
  assert.equal(skips('whole').length, skipped);
  assert.ok(skipped > 0 && skipped < steps, `${skipped} of ${steps} steps were left out`);
});

for (const [moment, stop] of Object.entries(MOMENTS)) {
  test(`Y10 interrupted ${moment}: scale, tracker, skips and weights go on bit for bit`, async () => {
    const { name, whole, resumed: own } = await resumed(moment, stop);
    const facts = ({ training }: typeof whole) => {
      const { scaler, steps, skipped, skippedInARow, hopeless, emaUpdates, lastStep } = training!.state;
      return { scaler, steps, skipped, skippedInARow, hopeless, emaUpdates, lastStep };
    };
    assert.deepEqual(facts(own), facts(whole));
    assert.deepEqual(skips(name), skips('whole'));
  });
}
