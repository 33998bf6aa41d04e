import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRun } from '../lesson.ts';
import { lesson } from '../regression.ts';
import { DTYPES } from './one-step.ts';

test('reaches its goal in every precision, and the same run gives the same numbers', async () => {
  const steps: number[] = [];
  const results = [];
  for (const dtype of DTYPES) {
    const run = openRun({ seed: 0, dtype, device: 'cpu' }, (step) => steps.push(step));
    results.push(await lesson.train(run));
  }
  for (const { untrained, trained } of results) {
    assert.ok(untrained < 0.5);
    assert.ok(trained >= lesson.goal);
    assert.ok(Math.abs(trained - results[0]!.trained) <= 0.02);
  }
  assert.equal(steps.length, 3 * steps.at(-1)!);
  assert.deepEqual(
    await lesson.train(openRun({ seed: 0, dtype: 'bfloat16', device: 'cpu' })),
    results[DTYPES.indexOf('bfloat16')],
  );
});
