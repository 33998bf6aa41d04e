import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trialOfComputedScale } from './computed-scale.ts';

test('a computed scale is within two powers of two of the best on 20 sampled steps', () => {
  // Every second step once the headroom of the start is gone. In a young network single batches differ by more bits.
  const trial = trialOfComputedScale({
    before: 200,
    steps: 80,
    sampled: (step) => step > 40 && step % 2 === 0,
    imgsz: 64,
    batch: 16,
  });
  const bits = trial.samples.map(({ scale, best }) => Math.log2(best / scale));
  assert.equal(bits.length, 20);
  assert.ok(
    bits.every((distance) => Math.abs(distance) <= 2),
    `powers of two below the best: ${bits.join(' ')}`,
  );
  // As it was set before the campaign was first run.
  assert.ok(trial.skipped.length <= 2, `skipped: ${trial.skipped.join(' ')}`);
  assert.ok(trial.skipped.every((step) => step > 20));
});

test('from scratch no step is skipped in the first 20', () => {
  for (const batch of [8, 16]) {
    const trial = trialOfComputedScale({ steps: 20, sampled: () => false, imgsz: 64, batch });
    assert.deepEqual(trial.skipped, []);
  }
});
