import assert from 'node:assert/strict';
import { test } from 'node:test';
import { autocast, noGrad, rand, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { DetectionLoss } from '../src/loss/detection.ts';
import type { HeadMaps } from '../src/models/decode.ts';
import { assertClose, formulaModel, inputTensor, values } from './golden.ts';

setNumThreads(1);

const bf16 = <T>(fn: () => T): T => autocast({ device: 'cpu', dtype: 'bfloat16' }, fn);
const widen = (maps: HeadMaps): HeadMaps => ({
  box: maps.box.map((map) => map.float()),
  cls: maps.cls.map((map) => map.float()),
});
const rows = Float32Array.of(0, 1, 0.4, 0.4, 0.5, 0.4, 1, 0, 0.6, 0.5, 0.3, 0.6, 1, 2, 0.2, 0.2, 0.1, 0.1);
const settings = { nc: 4, gain: 1.54 };

test('under autocast the layers run in low precision, also through Upsample and Concat', () => {
  scope(() => {
    const model = formulaModel('yolov8n', settings).train();
    const dtypes: string[] = [];
    const maps = bf16(() =>
      model.maps(inputTensor('input', [1, 3, 64, 64]), (_layer, output) => dtypes.push(output.dtype)),
    );
    assert.deepEqual(new Set(dtypes), new Set(['bfloat16']));
    assert.deepEqual(
      maps.box.map((map) => map.dtype),
      ['bfloat16', 'bfloat16', 'bfloat16'],
    );
  });
});

test('channels_last stays channels_last through the whole network', () => {
  scope(() => {
    const model = formulaModel('yolov8n', settings).train();
    model.to({ memoryFormat: 'channels_last' });
    const input = inputTensor('input', [2, 3, 64, 64]).contiguous({ memoryFormat: 'channels_last' });
    const strayed: string[] = [];
    const maps = bf16(() =>
      model.maps(input, (layer, output) => {
        if (!output.isContiguous('channels_last')) strayed.push(`${layer.index} ${layer.module}`);
      }),
    );
    assert.deepEqual(strayed, []);
    assert.ok([...maps.box, ...maps.cls].every((map) => map.isContiguous('channels_last')));
  });
});

test('decoding low-precision maps under autocast is the fp32 decoding of those maps', () => {
  scope(() => {
    const model = formulaModel('yolov8n', settings).eval();
    const { decoded, maps } = noGrad(() => bf16(() => model.predict(inputTensor('input', [2, 3, 64, 64]))));
    assert.equal(maps.box[0]!.dtype, 'bfloat16');
    assert.equal(decoded.dtype, 'float32');
    assert.ok(decoded.equal(model.head.decode(widen(maps))));
  });
});

test('the loss under autocast is the fp32 loss of the same maps, and its gradients reach them in their dtype', () => {
  scope(() => {
    const model = formulaModel('yolov8n', settings).train();
    const maps = bf16(() => noGrad(() => model.maps(inputTensor('input', [2, 3, 64, 64]))));
    const loss = new DetectionLoss({ nc: settings.nc, strides: model.strides });
    const leaves = { box: maps.box.map(leaf), cls: maps.cls.map(leaf) };
    const low = bf16(() => loss.forward(leaves, rows));
    const full = loss.forward(widen(maps), rows);
    assert.equal(low.total.dtype, 'float32');
    assert.equal(low.items.dtype, 'float32');
    assert.ok(low.items.equal(full.items));
    low.total.backward();
    assert.deepEqual(
      new Set([...leaves.box, ...leaves.cls].map((map) => map.grad!.dtype)),
      new Set(['bfloat16']),
    );
  });
});

test('the loss is finite and has finite gradients where boxes are far apart and logits extreme', () => {
  scope(() => {
    const maps: HeadMaps = {
      box: [8, 4, 2].map((side) => leaf(rand([2, 64, side, side]).sub(0.5).mul(200))),
      cls: [8, 4, 2].map((side) => leaf(rand([2, 4, side, side]).sub(0.5).mul(2000))),
    };
    const loss = new DetectionLoss({ nc: 4, strides: [8, 16, 32] });
    const { total } = loss.forward(maps, rows);
    assertClose(Number.isFinite(total.item()) ? 0 : 1, 0, {}, 'not finite');
    total.backward();
    for (const map of [...maps.box, ...maps.cls]) assert.ok(values(map.grad!).every(Number.isFinite));
  });
});

function leaf(map: Tensor): Tensor {
  return map.detach().requiresGrad_();
}
