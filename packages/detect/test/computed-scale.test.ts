import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SCALE_RULES } from '@mezzo/precision';
import { trialOfComputedScale } from './computed-scale.ts';

const { headroom, startHeadroom } = SCALE_RULES.computed;

test('a computed scale skips no step at the start of YOLOv8n, and goes by what bounds the best one', () => {
  const trial = trialOfComputedScale({ steps: 6, sampled: (step) => step % 2 === 0, imgsz: 64, batch: 2 });
  assert.deepEqual(trial.skipped, []);
  assert.equal(trial.samples.length, 3);
  for (const { step, scale, best, called } of trial.samples) {
    // The largest gradient that is measured is the one that overflows first; a partial sum within a kernel may be larger.
    assert.ok(
      best === called || best === called / 2,
      `step ${step}: best ${best}, by the gradients ${called}`,
    );
    const bits = Math.log2(best / scale);
    // Beside its headroom three bits by which batches of two pictures differ. How near it gets, the long test tells.
    assert.ok(bits >= 0 && bits <= headroom + startHeadroom + 3, `step ${step}: ${scale}, best ${best}`);
  }
});
