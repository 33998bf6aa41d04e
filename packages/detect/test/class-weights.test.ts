/** `cls_pw`, against the weights and losses of Ultralytics 8.4.190, run as a black box. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scope, tensor, zeros } from '@mezzo/torch';
import { classCounts, classWeights } from '../src/loss/class-weights.ts';
import { DetectionLoss } from '../src/loss/detection.ts';
import { lossOf } from '../src/loss/loss-of.ts';
import { buildModel } from '../src/models/build.ts';

test('weights are those of the reference; classes that do not occur count 1', () => {
  const counts = classCounts(
    [Float32Array.of(0, 0, 0, 1, 1, 2, 0, 0, 1, 1), Float32Array.of(0, 0, 0, 1, 1)],
    4,
  );
  assert.deepEqual(counts, [2, 0, 1, 0]);
  const reference: [number, number[]][] = [
    [1, [0.3333, 0.6667, 2, 1]],
    [0.5, [0.6168, 0.8723, 1.5109, 1]],
    [0.25, [0.7991, 0.9503, 1.2506, 1]],
  ];
  for (const [power, expected] of reference) {
    const weights = classWeights([6, 3, 1, 0], power)!;
    for (const [i, weight] of weights.entries())
      assert.ok(Math.abs(weight - expected[i]!) < 1e-4, `${power}: ${weights}`);
  }
  assert.equal(classWeights([6, 3, 1, 0], 0), null);
});

test('every term of a class has its weight: of objects and of the background', () => {
  const strides = [8, 16, 32];
  const cls = (weights: readonly number[] | null) =>
    scope(() => {
      const loss = new DetectionLoss({ nc: 4, strides, classWeights: weights });
      const maps = {
        box: strides.map((stride) => zeros([1, 64, 64 / stride, 64 / stride])),
        cls: strides.map((stride) =>
          tensor(0.5)
            .expand([1, 4, 64 / stride, 64 / stride])
            .contiguous(),
        ),
      };
      const rows = Float32Array.of(0, 1, 0.5, 0.5, 0.6, 0.6);
      return (loss.forward(maps as never, rows).items.toTypedArray() as Float32Array)[1]!;
    });
  const alone = (index: number) => cls([0, 1, 2, 3].map((i) => (i === index ? 1 : 0)));
  const each = [0, 1, 2, 3].map(alone);
  const near = (a: number, b: number) =>
    assert.ok(Math.abs(a - b) <= 1e-5 * Math.abs(b), `${a}, expected ${b}`);
  near(
    cls(null),
    each.reduce((a, b) => a + b),
  );
  near(each[0]!, each[2]!);
  assert.ok(each[1]! < each[0]!, 'the class of the object gains from its logit');
  near(cls([0.5, 3, 0, 2]), 0.5 * each[0]! + 3 * each[1]! + 2 * each[3]!);
});

test('networks with anchors have none', () => {
  const settings = { imgsz: 64, box: 7.5, cls: 0.5, dfl: 1.5, obj: 1, anchor_t: 4, inflate: 16 };
  assert.throws(
    () => lossOf(buildModel('yolov5n', { nc: 2 }), { ...settings, cls_pw: 0.5, classCounts: [1, 2] }),
    {
      code: 'BAD_OPTION',
      message: 'cls_pw=0.5: the loss of networks with anchors has no class weights',
    },
  );
});
