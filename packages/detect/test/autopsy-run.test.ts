import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { AutopsyEvent } from '../src/engine/event.ts';
import type { Run } from '../src/engine/run.ts';
import { generateShapes } from '../src/index.ts';
import { AutopsyObserver } from '../src/precision/autopsy-observer.ts';
import { equalTensors } from './equal-tensors.ts';
import { observedRun } from './observed-run.ts';
import { scratchFolder } from './scratch.ts';

const folder = scratchFolder();

/** 11 steps, of which the first are skipped. */
const train = (name: string, observed: AutopsyEvent[] | null): Promise<Run> =>
  observedRun(
    folder,
    { name, init_scale: 2 ** 22 },
    (run) => (observed === null ? [] : [new AutopsyObserver(run, { afterFirst: true })]),
    (event) => {
      if (event.event === 'autopsy') observed?.push(event);
    },
  );

test('a run with autopsies is the run without them, to the bit', async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 22, val: 2, imgsz: 32, seed: 1 });
  const events: AutopsyEvent[] = [];
  const [without, withThem] = [await train('without', null), await train('with', events)];
  assert.deepEqual(
    events
      .slice(0, 2)
      .map(({ step, trigger, finding, cure }) => ({ step, trigger, finding, cure: cure?.code })),
    [
      { step: 1, trigger: 'first-skip', finding: 'scale-too-large', cure: 'lower-scale' },
      { step: 6, trigger: 'repeated-skips', finding: 'scale-too-large', cure: 'lower-scale' },
    ],
  );
  assert.deepEqual(
    events.slice(0, 2).map(({ precision, files }) => [precision.scale, files.length]),
    [
      [2 ** 22, 2],
      [2 ** 17, 2],
    ],
  );
  assert.ok(without.ema.updates > 0);
  equalTensors(withThem.model.stateDict(), without.model.stateDict());
  equalTensors(withThem.ema.model.stateDict(), without.ema.model.stateDict());
  assert.deepEqual(withThem.scaler.stateDict(), without.scaler.stateDict());
});
