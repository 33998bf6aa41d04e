/** A training on pairs that does not fit into memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memory } from '@mezzo/torch';
import { type RecoveryEvent, type TrainEvent, type TrainOptions, YOLO } from '../src/index.ts';
import { nightRuns } from './dual-runs.ts';

const { options: base, weights } = nightRuns();

/** Trains mid, and gives what was told. */
async function run(options: TrainOptions): Promise<TrainEvent[]> {
  const told: TrainEvent[] = [];
  const model = await YOLO.load('yolo11n');
  memory.collectGarbage();
  await model.train({
    ...{ ...base, fusion: 'mid', nbs: 4, imgsz: 128, val: false, ...options },
    onEvent: (event) => told.push(event),
  });
  return told;
}

const peakOf = (told: readonly TrainEvent[]): number =>
  Math.max(...told.map((event) => (event.event === 'epoch' ? event.peakBytes : 0)));

test('out of memory: fewer workers, then half the batch with twice as many added up, and the run goes on', async () => {
  const small = peakOf(await run({ batch: 2, name: 'two', save: false }));
  const large = peakOf(await run({ batch: 4, name: 'four', save: false }));
  memory.setLimit((small + large) / 2);
  const told = await run({ batch: 4, workers: 2, name: 'less' }).finally(() => memory.setLimit(0));
  const recoveries = told.filter((event): event is RecoveryEvent => event.event === 'recovery');
  assert.deepEqual(
    recoveries.map(({ cause, changes }) => ({ cause, ...changes })),
    [
      { cause: 'memory', workers: 1 },
      { cause: 'memory', batch: 2 },
    ],
  );
  assert.match(
    recoveries[1]!.report,
    /: batch 4 → 2, gradients of 2 batches are added up instead of 1 \(an optimizer step sees 4 pictures, before 4\); the run begins anew$/,
  );
  assert.deepEqual((await YOLO.load(weights('less', 'last'))).modalities, { rgb: 3, ir: 3 });
});
