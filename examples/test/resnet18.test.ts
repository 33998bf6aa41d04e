import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manualSeed, nn } from '@mezzo/torch';
import { CLASSES, pictureSource } from '../data/pictures.ts';
import { ResNet18 } from '../resnet18.ts';
import { DTYPES, oneStep, parameterCount } from './one-step.ts';

test("has as many parameters as torchvision's resnet18", () => {
  assert.equal(parameterCount(new ResNet18(1000)), 11_689_512);
});

test('makes a finite step in every precision', () => {
  manualSeed(0);
  const model = new ResNet18(CLASSES);
  const { images, labels } = pictureSource(0)({ count: 4, size: 32 });
  const criterion = new nn.CrossEntropyLoss();
  for (const dtype of DTYPES) {
    const loss = oneStep(dtype, model, () => criterion.forward(model.forward(images), labels));
    assert.ok(loss > 0.5 && loss < 5, `${dtype}: ${loss}`);
  }
});
