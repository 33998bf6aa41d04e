import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  autocast,
  cat,
  type DType,
  Generator,
  noGrad,
  rand,
  randn,
  scope,
  setNumThreads,
  type Tensor,
} from '@mezzo/torch';
import { DetectionLoss } from '../src/loss/detection.ts';
import { pairwiseIou } from '../src/loss/iou.ts';
import { anchorCount, anchorGrid, type Level } from '../src/models/anchors.ts';
import {
  dist2bbox,
  distanceBins,
  expectedDistance,
  type HeadMaps,
  joinLevels,
  sidesOf,
} from '../src/models/decode.ts';
import { Detect } from '../src/models/detect.ts';
import { values } from './golden.ts';

setNumThreads(1);

/** Largest error that arithmetic may add to a box side, pixels. */
const BUDGET_PX = 0.01;
/** The least that a side off by the budget changes an overlap: that of a box as large as the largest image. */
const BUDGET_IOU = BUDGET_PX / 1280;

const BINS = 16;
const STRIDES = [8, 16, 32];

const levelsAt = (imgsz: number): Level[] =>
  STRIDES.map((stride) => ({ height: imgsz / stride, width: imgsz / stride, stride }));

/** Maps as a network in low precision hands them over. */
function lowMaps(imgsz: number, dtype: DType, classes: number): HeadMaps {
  const generator = new Generator().manualSeed(imgsz);
  const map = (channels: number) =>
    STRIDES.map((stride) =>
      randn([1, channels, imgsz / stride, imgsz / stride], { generator })
        .mul(3)
        .to(dtype),
    );
  return { box: map(4 * BINS), cls: map(classes) };
}

/** Corners [A, 4] in pixels of the maps' own numbers, in float64 on the host. */
function referenceCorners(maps: HeadMaps, imgsz: number): Float64Array {
  const anchors = anchorCount(levelsAt(imgsz));
  const corners = new Float64Array(4 * anchors);
  let anchor = 0;
  maps.box.forEach((map, level) => {
    const stride = STRIDES[level]!;
    const side = imgsz / stride;
    const logits = values(map.float());
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++, anchor++) {
        const distance = (edge: number) => {
          let [sum, weighted] = [0, 0];
          for (let bin = 0; bin < BINS; bin++) {
            const weight = Math.exp(logits[((edge * BINS + bin) * side + row) * side + column]!);
            sum += weight;
            weighted += bin * weight;
          }
          return weighted / sum;
        };
        const [x, y] = [column + 0.5, row + 0.5];
        corners.set(
          [x - distance(0), y - distance(1), x + distance(2), y + distance(3)].map((edge) => edge * stride),
          4 * anchor,
        );
      }
    }
  });
  return corners;
}

/** CIoU of corner boxes as Zheng et al. define it, in float64. */
function referenceCiou(a: readonly number[], b: readonly number[]): number {
  const eps = 1e-7;
  const [ax1, ay1, ax2, ay2] = a as [number, number, number, number];
  const [bx1, by1, bx2, by2] = b as [number, number, number, number];
  const [aw, ah, bw, bh] = [ax2 - ax1, ay2 - ay1 + eps, bx2 - bx1, by2 - by1 + eps];
  const width = Math.max(Math.min(ax2, bx2) - Math.max(ax1, bx1), 0);
  const height = Math.max(Math.min(ay2, by2) - Math.max(ay1, by1), 0);
  const union = aw * ah + bw * bh - width * height + eps;
  const iou = (width * height) / union;
  const hull = [Math.max(ax2, bx2) - Math.min(ax1, bx1), Math.max(ay2, by2) - Math.min(ay1, by1)] as const;
  const diagonal = hull[0] ** 2 + hull[1] ** 2 + eps;
  const distance = ((bx1 + bx2 - ax1 - ax2) ** 2 + (by1 + by2 - ay1 - ay2) ** 2) / 4 / diagonal;
  const v = (4 / Math.PI ** 2) * (Math.atan(bw / bh) - Math.atan(aw / ah)) ** 2;
  return iou - distance - (v * v) / (v - iou + 1 + eps);
}

function largestDifference(found: Float64Array, wanted: Float64Array): number {
  assert.equal(found.length, wanted.length);
  let largest = 0;
  for (let i = 0; i < found.length; i++) largest = Math.max(largest, Math.abs(found[i]! - wanted[i]!));
  return largest;
}

/** As the trainer calls it: under the run's own autocast region. */
const inRegion = <T>(dtype: DType, fn: () => T): T => autocast({ device: 'cpu', dtype }, fn);

for (const dtype of ['float16', 'bfloat16'] as const) {
  for (const imgsz of [640, 1280]) {
    test(`Y4: boxes decoded from ${dtype} maps at ${imgsz} px are within ${BUDGET_PX} px of float64`, () => {
      scope(() => {
        const maps = lowMaps(imgsz, dtype, 2);
        const wanted = referenceCorners(maps, imgsz);
        const head = new Detect(2, [16, 16, 16], STRIDES);
        const decoded = inRegion(dtype, () => noGrad(() => head.decode(maps)));
        assert.equal(decoded.dtype, 'float32');
        const [centre, size] = decoded.narrow(1, 0, 4).transpose(1, 2).chunk(2, -1) as [Tensor, Tensor];
        const from = values(centre.sub(size.div(2)));
        const to = values(centre.add(size.div(2)));
        const corners = Float64Array.from(
          wanted,
          (_, i) => (i % 4 < 2 ? from : to)[Math.floor(i / 4) * 2 + (i % 2)]!,
        );
        const error = largestDifference(corners, wanted);
        assert.ok(error < BUDGET_PX, `${error} px`);

        // The same in the maps' own dtype, which is what the budget is there to prevent.
        const grid = anchorGrid(levelsAt(imgsz), 'cpu');
        const low = noGrad(() =>
          dist2bbox(
            expectedDistance(
              sidesOf(joinLevels(maps.box).to(dtype), BINS),
              distanceBins(BINS, 'cpu').to(dtype),
            ),
            grid.points.to(dtype),
          ).mul(grid.strides.to(dtype)),
        );
        assert.ok(largestDifference(values(low.float()), wanted) > BUDGET_PX);
      });
    });

    test(`Y4: overlaps of boxes at ${imgsz} px in a ${dtype} region are those of float64`, () => {
      scope(() => {
        const generator = new Generator().manualSeed(1);
        const pairs = 500;
        const box = () => {
          const centre = rand([pairs, 2], { generator }).mul(imgsz);
          const half = rand([pairs, 2], { generator })
            .mul(imgsz / 4)
            .add(4);
          return [centre.sub(half), centre.add(half)] as const;
        };
        const [aFrom, aTo] = box();
        const shift = randn([pairs, 4], { generator }).mul(4);
        const a = cat([aFrom, aTo], 1);
        const b = a.add(shift);
        const found = values(inRegion(dtype, () => pairwiseIou(a, b, 'ciou')));
        const [av, bv] = [values(a), values(b)];
        const row = (of: Float64Array, i: number) => Array.from(of.subarray(4 * i, 4 * i + 4));
        const wanted = Float64Array.from({ length: pairs }, (_, i) => referenceCiou(row(av, i), row(bv, i)));
        const error = largestDifference(found, wanted);
        assert.ok(error < BUDGET_IOU, `${error}`);
      });
    });
  }

  test(`Y4: the box loss of ${dtype} maps is float64's loss of the same numbers`, () => {
    scope(() => {
      const imgsz = 640;
      const maps = lowMaps(imgsz, dtype, 2);
      const rows = Float32Array.of(
        0,
        1,
        0.5,
        0.5,
        0.3,
        0.4,
        0,
        0,
        0.2,
        0.7,
        0.1,
        0.1,
        0,
        1,
        0.8,
        0.3,
        0.25,
        0.5,
      );
      const loss = new DetectionLoss({ nc: 2, strides: STRIDES, gains: { box: 1, cls: 0, dfl: 0 } });
      const { items, assignment } = inRegion(dtype, () => loss.forward(maps, rows));
      const corners = referenceCorners(maps, imgsz);
      const strides = levelsAt(imgsz).flatMap(({ height, width, stride }) =>
        new Array<number>(height * width).fill(stride),
      );
      const [anchors, targets, weights] = [assignment!.anchor, assignment!.target, assignment!.weight].map(
        values,
      ) as [Float64Array, Float64Array, Float64Array];
      let [sum, total] = [0, 0];
      for (let slot = 0; slot < anchors.length; slot++) {
        const anchor = anchors[slot]!;
        const stride = strides[anchor]!;
        const [, , x, y, w, h] = rows.subarray(
          6 * targets[slot]!,
          6 * targets[slot]! + 6,
        ) as unknown as number[];
        const target = [x! - w! / 2, y! - h! / 2, x! + w! / 2, y! + h! / 2].map(
          (side) => (side * imgsz) / stride,
        );
        const box = Array.from(corners.subarray(4 * anchor, 4 * anchor + 4), (side) => side / stride);
        sum += (1 - referenceCiou(box, target)) * weights[slot]!;
        total += weights[slot]!;
      }
      assert.ok(total > 0);
      const wanted = sum / Math.max(total, 1);
      const found = values(items)[0]!;
      assert.ok(Math.abs(found - wanted) < 1e-5 * wanted, `${found} against ${wanted}`);
    });
  });
}
