import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lesson } from '../bifpn.ts';
import { openRun } from '../lesson.ts';

test('finds the figures in pictures it has not seen, in bf16', async () => {
  const { untrained, trained } = await lesson.train(openRun({ seed: 0, dtype: 'bfloat16', device: 'cpu' }));
  assert.ok(untrained < 0.05, `untrained: ${untrained}`);
  assert.ok(trained >= lesson.goal, `trained: ${trained}`);
});
