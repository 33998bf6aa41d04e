import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { autocast, full, inferenceMode, scope, setNumThreads, type Tensor, tensor } from '@mezzo/torch';
import { readCheckpoint, writeCheckpoint } from '../src/engine/checkpoint.ts';
import { DetectionLoss } from '../src/loss/detection.ts';
import { pairwiseIou } from '../src/loss/iou.ts';
import { nms, nonMaxSuppression, VALIDATION_NMS } from '../src/metrics/nms.ts';
import type { HeadMaps } from '../src/models/decode.ts';
import { formulaModel, inputTensor, values } from './golden.ts';
import { scratchFolder } from './scratch.ts';

setNumThreads(1);

const LOWS = ['bfloat16', 'float16'] as const;

const leaf = (map: Tensor): Tensor => map.detach().requiresGrad_();

for (const low of LOWS) {
  test(`Y5: a box of 512 x 512 px and scores near zero: loss and gradients are finite and those of fp32, ${low}`, () => {
    scope(() => {
      // What the islands are for: 512 · 512 and 1e-9 do not exist in fp16.
      const half = (value: number) => full([], value, { dtype: 'float16' });
      assert.equal(half(512).mul(512).item(), Number.POSITIVE_INFINITY);
      assert.equal(half(1e-9).item(), 0);

      const strides = [8, 16, 32];
      // Logits of -20: a probability of 2e-9, whose root times the sixth power of the overlap is below fp16.
      const maps: HeadMaps = {
        box: strides.map((stride) =>
          inputTensor(`box${stride}`, [1, 64, 640 / stride, 640 / stride]).to(low),
        ),
        cls: strides.map((stride) => full([1, 4, 640 / stride, 640 / stride], -20, { dtype: low })),
      };
      const rows = Float32Array.of(0, 1, 0.5, 0.5, 0.8, 0.8, 0, 2, 0.5, 0.5, 0.81, 0.79);
      const loss = new DetectionLoss({ nc: 4, strides });
      const run = (inputs: HeadMaps, region: <T>(fn: () => T) => T) => {
        const leaves = { box: inputs.box.map(leaf), cls: inputs.cls.map(leaf) };
        const { total, items } = region(() => loss.forward(leaves, rows));
        total.backward();
        return { items, grads: [...leaves.box, ...leaves.cls].map((map) => map.grad!) };
      };
      const inside = run(maps, (fn) => autocast({ device: 'cpu', dtype: low }, fn));
      const wide = { box: maps.box.map((m) => m.float()), cls: maps.cls.map((m) => m.float()) };
      const plain = run(wide, (fn) => fn());
      assert.equal(inside.items.equal(plain.items), true);
      assert.ok(values(inside.items).every((item) => Number.isFinite(item) && item > 0));
      inside.grads.forEach((grad, i) => {
        assert.ok(values(grad).every(Number.isFinite));
        assert.equal(grad.equal(plain.grads[i]!.to(low)), true);
      });
    });
  });
}

test('Y5: the overlap of boxes of 512 px and of none is finite for every kind', () => {
  scope(() => {
    const boxes = tensor([
      [0, 0, 512, 512],
      [64, 64, 640, 640],
      [100, 100, 100, 100],
    ]);
    for (const kind of ['iou', 'giou', 'diou', 'ciou'] as const) {
      const a = leaf(boxes);
      const overlap = autocast({ device: 'cpu', dtype: 'float16' }, () =>
        pairwiseIou(a.unsqueeze(1).expand([3, 3, 4]), boxes.unsqueeze(0).expand([3, 3, 4]), kind),
      );
      overlap.sum().backward();
      assert.ok(values(overlap).every(Number.isFinite), kind);
      assert.ok(values(a.grad!).every(Number.isFinite), kind);
    }
  });
});

test('Y6: a weight above 65504 is saved, loaded and validated as it is', async () => {
  const folder = scratchFolder();
  const large = 70000;
  const model = formulaModel('yolov8n', { nc: 4, gain: 1.54 }).eval();
  const weight = model.stateDict()['model.0.conv.weight']!;
  weight.put([0, 0, 0, 0], large);

  const file = path.join(folder, 'large.safetensors');
  const identity = { name: 'yolov8n', table: model.description.table, names: model.names };
  const nothing = { data: null, epoch: 1, map50: 0, map: 0 };
  await writeCheckpoint(file, { identity, weights: model.stateDict(), ...nothing });
  const { weights } = await readCheckpoint(file);
  const loaded = weights['model.0.conv.weight']!;
  assert.equal(loaded.dtype, 'float32');
  assert.equal(loaded.equal(weight), true);

  const predict = (dtype: 'bfloat16' | 'float16', enabled = true) =>
    scope(() =>
      inferenceMode(() => {
        const images = inputTensor('input', [1, 3, 64, 64]);
        return values(autocast({ device: 'cpu', dtype, enabled }, () => model.predict(images)).decoded);
      }),
    );
  const plain = predict('bfloat16', false);
  assert.ok(plain.every(Number.isFinite));
  assert.ok(predict('bfloat16').every(Number.isFinite));
  // fp16 cannot hold the weight. Its prediction must say so, instead of being that of a clamped weight.
  assert.equal(predict('float16').every(Number.isFinite), false);
  assert.equal(model.stateDict()['model.0.conv.weight']!.equal(loaded), true);
});

test('Y7: suppression over 80 classes at 7680 px is that of each class on its own in fp32', () => {
  const [classes, anchors] = [80, 3000];
  const prediction = new Float32Array((4 + classes) * anchors);
  const at = (row: number, anchor: number) => row * anchors + anchor;
  // Clusters of boxes near 7000 px that differ by less than the 0.5 px of a float32 with a class offset added.
  for (let a = 0; a < anchors; a++) {
    const noise = (k: number) => (Math.sin(12.9898 * (a + 1) * (k + 1)) * 43758.5453) % 1;
    const cluster = a % 150;
    prediction[at(0, a)] = 100 + 48 * cluster + 0.4 * noise(0);
    prediction[at(1, a)] = 7300 - 45 * cluster + 0.4 * noise(1);
    prediction[at(2, a)] = 20 + 6 * noise(2);
    prediction[at(3, a)] = 20 + 6 * noise(3);
    prediction[at(4 + (((Math.floor(a / 150) % 3) * 7 + cluster) % classes), a)] =
      0.3 + 0.69 * Math.abs(noise(4));
  }
  const options = { ...VALIDATION_NMS, conf: 0.25, iou: 0.7, maxDet: anchors };
  const found = nonMaxSuppression(prediction, classes, options);

  const expected: string[] = [];
  for (let c = 0; c < classes; c++) {
    const chosen = Array.from({ length: anchors }, (_, a) => a).filter(
      (a) => prediction[at(4 + c, a)]! > options.conf,
    );
    const boxes = new Float32Array(4 * chosen.length);
    chosen.forEach((a, i) => {
      const [x, y] = [prediction[at(0, a)]!, prediction[at(1, a)]!];
      const [w, h] = [prediction[at(2, a)]! / 2, prediction[at(3, a)]! / 2];
      boxes.set([x - w, y - h, x + w, y + h], 4 * i);
    });
    const scores = Float32Array.from(chosen, (a) => prediction[at(4 + c, a)]!);
    for (const i of nms(boxes, scores, options.iou)) expected.push(`${c}:${chosen[i]}`);
  }
  const kept = Array.from(found.anchors, (anchor, i) => `${found.cls[i]}:${anchor}`);
  assert.ok(kept.length > 500 && kept.length < anchors, `${kept.length} kept`);
  assert.deepEqual(kept.sort(), expected.sort());
});
