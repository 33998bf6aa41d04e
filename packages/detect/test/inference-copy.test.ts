import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getRngState, noGrad, scope } from '@mezzo/torch';
import { buildModel } from '../src/models/build.ts';
import { InferenceCopy } from '../src/models/inference-copy.ts';
import { values } from './golden.ts';

test('the copy is kept while the weights are what they were, and made again when one has changed', () =>
  scope(() => {
    const model = buildModel('yolov8n', { nc: 2 });
    const inference = new InferenceCopy();
    const random = [...getRngState()];
    const copy = inference.of(model);
    assert.deepEqual([...getRngState()], random);
    assert.equal(inference.of(model), copy);
    const [first] = model.parameters();
    noGrad(() => first!.mul_(2));
    const next = inference.of(model);
    assert.notEqual(next, copy);
    assert.notDeepEqual(values(next.parameters()[0]!), values(copy.parameters()[0]!));
    // Statistics are written by a training step, which counts itself in a buffer.
    const [counted] = model.buffers().filter(({ dtype }) => dtype === 'int64');
    noGrad(() => counted!.add_(1));
    assert.notEqual(inference.of(model), next);
    assert.equal(model.training, true);
  }));

test('a model that is folded already is its own copy', () =>
  scope(() => {
    const folded = buildModel('yolov5nu', { nc: 1 }).fused();
    assert.equal(new InferenceCopy().of(folded), folded);
  }));
