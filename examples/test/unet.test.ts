import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manualSeed, nn } from '@mezzo/torch';
import { pictureSource } from '../data/pictures.ts';
import { UNet } from '../unet.ts';
import { DTYPES, oneStep, parameterCount } from './one-step.ts';

test('has as many parameters as counted by hand, and scores every pixel', () => {
  // Pairs of 3 x 3 convolutions, up-convolutions of 2 x 2 and the last 1 x 1, all with biases, and batch norms.
  const pairs = (from: number, to: number) => 9 * from * to + 9 * to * to + 2 * to + 2 * 2 * to;
  const [a, b, c, d, e] = [64, 128, 256, 512, 1024];
  const down = pairs(3, a) + pairs(a, b) + pairs(b, c) + pairs(c, d) + pairs(d, e);
  const up = [a, b, c, d].reduce((sum, n) => sum + 4 * 2 * n * n + n + pairs(2 * n, n), 0);
  const model = new UNet([a, b, c, d, e], 2);
  assert.equal(parameterCount(model), down + up + 2 * a + 2);
});

test('makes a finite step in every precision', () => {
  manualSeed(0);
  const model = new UNet([16, 32, 64, 128, 256], 2);
  const { images, masks } = pictureSource(0)({ count: 2, size: 32, shapes: 3, radius: [0.1, 0.3] });
  assert.deepEqual(model.forward(images).shape, [2, 2, 32, 32]);
  const criterion = new nn.CrossEntropyLoss();
  for (const dtype of DTYPES) {
    const loss = oneStep(dtype, model, () => criterion.forward(model.forward(images), masks));
    assert.ok(loss > 0.1 && loss < 5, `${dtype}: ${loss}`);
  }
});
