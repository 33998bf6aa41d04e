import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trialOfComputedScale } from './computed-scale.ts';

test('a computed scale skips no step at the start of YOLOv8n, and is of the best one’s order', () => {
  const trial = trialOfComputedScale({ steps: 6, sampled: (step) => step === 6, imgsz: 64, batch: 2 });
  assert.deepEqual(trial.skipped, []);
  assert.equal(trial.samples.length, 1);
  for (const { step, scale, best } of trial.samples) {
    const bits = Math.log2(best / scale);
    // Two pictures a batch, from scratch: batches differ by several bits. How near it gets, the long test tells.
    assert.ok(bits >= 0 && bits <= 5, `step ${step}: ${scale}, best ${best}`);
  }
});
