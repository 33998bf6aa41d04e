import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trialOfComputedScale } from './computed-scale.ts';

test('a computed scale is within two powers of two of the best on 20 sampled steps, and skips none', () => {
  // Earlier, single batches differ by more than three bits: after 80 steps 16 of 20 were that near, and one was skipped.
  const trial = trialOfComputedScale({
    before: 160,
    steps: 23,
    sampled: (step) => step > 3,
    imgsz: 64,
    batch: 16,
  });
  const bits = trial.samples.map(({ scale, best }) => Math.log2(best / scale));
  assert.deepEqual(trial.skipped, []);
  assert.equal(bits.length, 20);
  assert.ok(
    bits.every((distance) => Math.abs(distance) <= 2),
    `powers of two below the best: ${bits.join(' ')}`,
  );
});

test('from scratch no step is skipped in the first 20', () => {
  const trial = trialOfComputedScale({ steps: 20, sampled: () => false, imgsz: 64, batch: 8 });
  assert.deepEqual(trial.skipped, []);
});
