import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rand, scope, type Tensor, zeros } from '@mezzo/torch';
import { buildModel } from '../src/models/build.ts';
import { transferWeights } from '../src/models/transfer.ts';

test('equal models transfer every tensor', () => {
  scope(() => {
    const [from, to] = [buildModel('yolov8n', { nc: 3 }), buildModel('yolov8n', { nc: 3 })];
    const state = from.stateDict();
    assert.deepEqual(transferWeights(to, state), { transferred: 355, total: 355, skipped: [] });
    for (const [key, tensor] of Object.entries(to.stateDict())) assert.ok(tensor.equal(state[key]!), key);
  });
});

test('another number of classes leaves the class branch as it is', () => {
  scope(() => {
    const [from, to] = [buildModel('yolov8n', { nc: 80 }), buildModel('yolov8n', { nc: 3 })];
    const before = to.stateDict()['model.22.cv3.0.2.weight']!.clone();
    const { transferred, total, skipped } = transferWeights(to, from.stateDict());
    // With 80 classes the class branch is wider as well, so all of its tensors differ in shape.
    assert.equal(transferred + skipped.length, total);
    assert.deepEqual([...new Set(skipped.map(({ key }) => key.replace(/\.\d\..*/, '')))], ['model.22.cv3']);
    assert.deepEqual(skipped.at(-1), { key: 'model.22.cv3.2.2.bias', shape: [3], given: [80] });
    assert.ok(to.stateDict()['model.22.cv3.0.2.weight']!.equal(before));
  });
});

test('a first convolution of other channels is skipped, or its common channels are copied', () => {
  scope(() => {
    const key = 'model.0.conv.weight';
    const from = buildModel('yolov8n', { nc: 2 }).stateDict();
    const skipping = buildModel('yolov8n', { nc: 2, ch: 4 });
    const before = skipping.stateDict()[key]!.clone();
    assert.deepEqual(transferWeights(skipping, from).skipped, [
      { key, shape: [16, 4, 3, 3], given: [16, 3, 3, 3] },
    ]);
    assert.ok(skipping.stateDict()[key]!.equal(before));

    for (const ch of [4, 1]) {
      const overlapping = buildModel('yolov8n', { nc: 2, ch });
      const old = overlapping.stateDict()[key]!.clone();
      const report = transferWeights(overlapping, from, { overlapFirstConv: true });
      assert.deepEqual(report, { transferred: 355, total: 355, skipped: [] });
      const weight = overlapping.stateDict()[key]!;
      const common = Math.min(ch, 3);
      assert.ok(weight.narrow(1, 0, common).equal(from[key]!.narrow(1, 0, common)));
      assert.ok(weight.narrow(1, common, ch - common).equal(old.narrow(1, common, ch - common)));
    }
  });
});

test('missing keys are reported, half-precision files are widened', () => {
  scope(() => {
    const model = buildModel('yolov8n', { nc: 2 });
    const weights: Record<string, Tensor> = {
      'model.1.conv.weight': rand([32, 16, 3, 3]).half(),
      'not.there': zeros([1]),
    };
    const { transferred, skipped } = transferWeights(model, weights);
    assert.equal(transferred, 1);
    assert.deepEqual(skipped[0], { key: 'model.0.conv.weight', shape: [16, 3, 3, 3], given: null });
    const weight = model.stateDict()['model.1.conv.weight']!;
    assert.equal(weight.dtype, 'float32');
    assert.ok(weight.equal(weights['model.1.conv.weight']!.float()));
  });
});
