import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manualSeed, nn, optim, scope, stack, tensor, zeros } from '@mezzo/torch';
import { accuracyOn, CLASSES, iouOn, pictureSource } from '../data/pictures.ts';

test('a seed gives the same pictures again, another seed gives others, and a source never repeats', () => {
  const options = { count: 4, size: 16 };
  const draw = pictureSource(3);
  const first = draw(options).images;
  assert.ok(first.equal(pictureSource(3)(options).images));
  assert.ok(!first.equal(pictureSource(4)(options).images));
  assert.ok(!first.equal(draw(options).images));
  assert.deepEqual(first.shape, [4, 3, 16, 16]);
});

test('labels cover all classes alike, and masks cover a part of every picture', () => {
  const { labels, masks } = pictureSource(0)({ count: 400, size: 24, radius: [0.2, 0.4] });
  const counts = new Array<number>(CLASSES).fill(0);
  for (const label of labels.toTypedArray()) counts[Number(label)]!++;
  for (const count of counts) assert.ok(count > 25 && count < 80, `${counts}`);
  const covered = masks.float().mean([1, 2]);
  assert.ok(Number(covered.min().item()) > 0.05 && Number(covered.max().item()) < 0.9);
});

test('a linear model of the pixels does not learn the classes: they need a network', () => {
  manualSeed(0);
  const options = { count: 1000, size: 32 };
  const draw = pictureSource(0);
  const [known, heldOut] = [draw(options), draw(options)];
  const model = new nn.Linear(3 * 32 * 32, CLASSES);
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.1 });
  const criterion = new nn.CrossEntropyLoss();
  for (let step = 0; step < 100; step++) {
    scope(() => {
      optimizer.zeroGrad();
      criterion.forward(model.forward(known.images.flatten(1)), known.labels).backward();
      optimizer.step();
    });
  }
  const accuracy = accuracyOn(heldOut, (images) => model.forward(images.flatten(1)));
  // Chance is 0.14, the lessons' goal 0.95.
  assert.ok(accuracy < 0.45, `accuracy ${accuracy}`);
});

test('IoU counts the pixels of all pictures together', () => {
  const pictures = pictureSource(0)({ count: 40, size: 8, radius: [0.2, 0.4] });
  const covered = Number(pictures.masks.float().mean().item());
  const everywhere = iouOn(pictures, ({ shape: [n] }) =>
    tensor([0, 1]).reshape(1, 2, 1, 1).expand(n!, 2, 8, 8),
  );
  assert.ok(Math.abs(everywhere - covered) < 1e-6);
  let from = 0;
  const perfect = iouOn(pictures, ({ shape: [n] }) => {
    const mask = pictures.masks.narrow(0, from, n!).float();
    from += n!;
    return stack([mask.mul(-1), mask], 1);
  });
  assert.equal(perfect, 1);
});

test('the ground alone has no mask', () => {
  const { masks } = pictureSource(0)({ count: 2, size: 16, shapes: 0 });
  assert.ok(masks.equal(zeros([2, 16, 16], { dtype: 'int64' })));
});
