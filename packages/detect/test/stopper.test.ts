import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EarlyStopping } from '../src/engine/stopper.ts';

/** The epoch (from 0) after which a run of these fitnesses ends, null when it does not. */
function endOf(stopper: EarlyStopping, fitnesses: readonly number[]): number | null {
  const end = fitnesses.findIndex((fitness, epoch) => stopper.record(epoch, fitness).stop);
  return end < 0 ? null : end;
}

test('a run ends `patience` epochs after its best', () => {
  assert.equal(endOf(new EarlyStopping(3), [0.1, 0.5, 0.4, 0.3, 0.2, 0.1]), 4);
});

test('an equal fitness counts as better: newer weights are taken', () => {
  const stopper = new EarlyStopping(2);
  assert.equal(endOf(stopper, [0.5, 0.5, 0.4, 0.5, 0.1, 0.1]), 5);
  assert.equal(stopper.bestEpoch, 3);
});

test('a patience of 0 never ends a run', () => {
  assert.equal(endOf(new EarlyStopping(0), [0.9, ...new Array<number>(500).fill(0)]), null);
});

test('a resumed run remembers its best', () => {
  const stopper = new EarlyStopping(3, { fitness: 0.8, epoch: 5 });
  assert.deepEqual(stopper.record(7, 0.7), { improved: false, stop: false });
  assert.deepEqual(stopper.record(8, 0.7), { improved: false, stop: true });
});
