import { test } from 'node:test';
import { ops, tensor } from '@mezzo/torch';
import { distributionFocalLoss } from '../src/loss/dfl.ts';
import { boxIouMatrix, type IouKind, pairwiseIou } from '../src/loss/iou.ts';
import { bbox2dist, dist2bbox, distanceBins, expectedDistance, sidesOf } from '../src/models/decode.ts';
import { assertAllClose, readGolden, type Tolerance, values } from './golden.ts';

type Rows = number[][];

interface LossParts {
  pairs: { box1: Rows; box2: Rows; xywh1: Rows; xywh2: Rows; ciou_xywh: number[] } & Record<
    IouKind,
    number[]
  > &
    Record<`${IouKind}_grad_box1`, Rows>;
  box_iou_matrix: { boxes1: Rows; boxes2: Rows; iou: Rows };
  dfl: {
    reg_max: number;
    logits: Rows;
    target: Rows;
    target_clamped: Rows;
    loss: number[];
    grad_of_sum: Rows;
  };
  dfl_expect: { logits: Rows; dist: Rows };
  bce_with_logits: {
    x: number[];
    t: number[];
    loss: number[];
    sum: number;
    mean: number;
    grad_of_sum: number[];
  };
  bbox2dist: Record<'anchors' | 'xyxy' | 'dist_clamped_0_14.99' | 'dist_unclamped', Rows> & {
    reg_max_arg: number;
  };
  dist2bbox: Record<'anchors' | 'dist' | 'xyxy' | 'xywh', Rows>;
}

const golden = readGolden<LossParts>('loss_parts.json');
const VALUE: Tolerance = { abs: 1e-6, rel: 1e-5 };
const GRADIENT: Tolerance = { abs: 1e-6, rel: 1e-4 };

for (const kind of ['iou', 'giou', 'diou', 'ciou'] as const) {
  test(`${kind}: values and gradients of ordinary and degenerate pairs`, () => {
    const { box1, box2 } = golden.pairs;
    const a = tensor(box1, { requiresGrad: true });
    const overlap = pairwiseIou(a, tensor(box2), kind);
    assertAllClose(values(overlap), golden.pairs[kind], VALUE, kind);
    overlap.rsub(1).sum().backward();
    assertAllClose(values(a.grad!), golden.pairs[`${kind}_grad_box1`].flat(), GRADIENT, `${kind} gradient`);
  });
}

test('ciou of centre-size boxes adds no eps to the height', () => {
  const { xywh1, xywh2, ciou_xywh } = golden.pairs;
  const overlap = pairwiseIou(tensor(xywh1), tensor(xywh2), 'ciou', { format: 'xywh' });
  assertAllClose(values(overlap), ciou_xywh, VALUE, 'ciou xywh');
});

test('overlap of all boxes with all boxes', () => {
  const { boxes1, boxes2, iou } = golden.box_iou_matrix;
  assertAllClose(values(boxIouMatrix(tensor(boxes1), tensor(boxes2))), iou.flat(), VALUE, 'iou');
});

test('distribution focal loss: values and gradients, targets outside the range clamped', () => {
  const { reg_max, logits, target_clamped, loss, grad_of_sum } = golden.dfl;
  const x = tensor(logits, { requiresGrad: true });
  const found = distributionFocalLoss(
    x.view([-1, 4, reg_max]),
    tensor(target_clamped),
    distanceBins(reg_max, 'cpu'),
  );
  assertAllClose(values(found), loss, VALUE, 'dfl');
  found.sum().backward();
  assertAllClose(values(x.grad!), grad_of_sum.flat(), GRADIENT, 'dfl gradient');
});

test('expected distance of the bins', () => {
  const { logits, dist } = golden.dfl_expect;
  const bins = distanceBins(16, 'cpu');
  const found = expectedDistance(sidesOf(tensor(logits.flat()).view([-1, 64]), 16), bins);
  assertAllClose(values(found), dist.flat(), VALUE, 'distance');
});

test('distances to the sides, clamped and not', () => {
  const { anchors, xyxy, reg_max_arg, dist_unclamped, ...rest } = golden.bbox2dist;
  const clamped = bbox2dist(tensor(anchors), tensor(xyxy), reg_max_arg);
  assertAllClose(values(clamped), rest['dist_clamped_0_14.99'].flat(), VALUE, 'clamped');
  assertAllClose(values(bbox2dist(tensor(anchors), tensor(xyxy))), dist_unclamped.flat(), VALUE, 'unclamped');
});

test('boxes from distances, as corners and as centre and size', () => {
  const { anchors, dist, xyxy, xywh } = golden.dist2bbox;
  assertAllClose(values(dist2bbox(tensor(dist), tensor(anchors))), xyxy.flat(), VALUE, 'xyxy');
  assertAllClose(values(dist2bbox(tensor(dist), tensor(anchors), 'xywh')), xywh.flat(), VALUE, 'xywh');
});

test('binary cross-entropy with logits: values, sum, mean and gradient', () => {
  const { x, t, loss, sum, mean, grad_of_sum } = golden.bce_with_logits;
  const logits = tensor(x, { requiresGrad: true });
  const target = tensor(t);
  const each = ops.binary_cross_entropy_with_logits(logits, target, null, null, 0);
  assertAllClose(values(each), loss, VALUE, 'element');
  // The detector's form of the sum: the targets only take their share of the logits off the background.
  const total = logits.softplus().sum().sub(logits.mul(target).sum());
  assertAllClose(values(total), [sum], VALUE, 'sum');
  assertAllClose(values(each.mean()), [mean], VALUE, 'mean');
  total.backward();
  assertAllClose(values(logits.grad!), grad_of_sum, GRADIENT, 'gradient');
});
