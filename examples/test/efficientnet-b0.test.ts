import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manualSeed, nn } from '@mezzo/torch';
import { CLASSES, pictureSource } from '../data/pictures.ts';
import { EfficientNetB0 } from '../efficientnet-b0.ts';
import { DTYPES, oneStep, parameterCount } from './one-step.ts';

test("has as many parameters as torchvision's efficientnet_b0", () => {
  assert.equal(parameterCount(new EfficientNetB0(1000)), 5_288_548);
});

test('makes a finite step in every precision', () => {
  manualSeed(0);
  const model = new EfficientNetB0(CLASSES);
  const { images, labels } = pictureSource(0)({ count: 4, size: 32 });
  const criterion = new nn.CrossEntropyLoss();
  for (const dtype of DTYPES) {
    const loss = oneStep(dtype, model, () => criterion.forward(model.forward(images), labels));
    assert.ok(loss > 0.5 && loss < 5, `${dtype}: ${loss}`);
  }
});
