import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lesson, network } from '../keras-regression.ts';
import { openRun } from '../lesson.ts';
import { DTYPES } from './one-step.ts';

test('reaches its goal under every policy', async () => {
  for (const dtype of DTYPES) {
    const { untrained, trained } = await lesson.train(openRun({ seed: 0, dtype, device: 'cpu' }));
    assert.ok(untrained < 0.5, `${dtype}: ${untrained} before training`);
    assert.ok(trained >= lesson.goal, `${dtype}: ${trained}`);
  }
});

test('the policy of each precision is that of the hidden layer', () => {
  assert.deepEqual(
    DTYPES.map((dtype) => network(dtype).layers.map(({ computeDtype }) => computeDtype)),
    [
      ['float32', 'float32'],
      ['bfloat16', 'float32'],
      ['float16', 'float32'],
    ],
  );
});
