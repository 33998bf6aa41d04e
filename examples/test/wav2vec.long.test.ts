import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRun } from '../lesson.ts';
import { lesson } from '../wav2vec.ts';

test('tells words by new voices apart, in bf16', async () => {
  const { untrained, trained } = await lesson.train(openRun({ seed: 0, dtype: 'bfloat16', device: 'cpu' }));
  assert.ok(untrained < 0.3, `untrained: ${untrained}`);
  assert.ok(trained >= lesson.goal, `trained: ${trained}`);
});
