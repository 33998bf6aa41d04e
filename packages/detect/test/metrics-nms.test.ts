import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { nms, nonMaxSuppression, PREDICTION_NMS, VALIDATION_NMS } from '../src/metrics/nms.ts';
import { descendingOrder } from '../src/metrics/order.ts';
import { readFixture } from './fixture.ts';

interface NmsGolden {
  cases: {
    name: string;
    nc: number;
    conf_thres: number;
    iou_thres: number;
    agnostic: boolean;
    multi_label: boolean;
    max_det: number;
    max_nms: number;
    classes?: number[];
    input: number[][];
    kept: [number, number, number, number, number, number][];
    kept_source_index: number[];
  }[];
  plain: { boxes: number[][]; scores: number[]; iou: number; keep: number[] }[];
}

const golden = readFixture<NmsGolden>('nms.json');

describe('nonMaxSuppression', () => {
  for (const sample of golden.cases) {
    it(`keeps what the reference keeps: ${sample.name}`, () => {
      const kept = nonMaxSuppression(Float32Array.from(sample.input.flat()), sample.nc, {
        conf: sample.conf_thres,
        iou: sample.iou_thres,
        multiLabel: sample.multi_label,
        agnostic: sample.agnostic,
        classes: sample.classes,
        maxDet: sample.max_det,
        maxNms: sample.max_nms,
      });
      assert.deepEqual(Array.from(kept.anchors), sample.kept_source_index);
      assert.equal(kept.count, sample.kept.length);
      sample.kept.forEach((row, i) => {
        for (let k = 0; k < 4; k++) {
          assert.ok(Math.abs(kept.boxes[4 * i + k]! - row[k]!) <= 1e-3, `box ${i}: ${kept.boxes[4 * i + k]}`);
        }
        assert.equal(kept.conf[i], Math.fround(row[4]));
        assert.equal(kept.cls[i], row[5]);
      });
    });
  }

  it('takes no score that only equals the threshold', () => {
    const prediction = Float32Array.from([5, 50, 5, 50, 4, 4, 4, 4, 0.5, 0.75]);
    const options = { ...PREDICTION_NMS, conf: 0.5 };
    assert.deepEqual(Array.from(nonMaxSuppression(prediction, 1, options).anchors), [1]);
  });

  it('ignores NaN scores', () => {
    const prediction = Float32Array.from([5, 50, 5, 50, 4, 4, 4, 4, Number.NaN, 0.75]);
    assert.deepEqual(Array.from(nonMaxSuppression(prediction, 1, VALIDATION_NMS).anchors), [1]);
  });

  it('refuses a prediction whose length does not fit the classes', () => {
    assert.throws(() => nonMaxSuppression(new Float32Array(20), 3, PREDICTION_NMS), {
      code: 'BAD_PREDICTION',
      message: '20 values are no [4 + 3 classes, anchors] prediction',
    });
  });
});

/** In float64, written for this test. */
function iou([ax1, ay1, ax2, ay2]: number[], [bx1, by1, bx2, by2]: number[]): number {
  const width = Math.max(0, Math.min(ax2!, bx2!) - Math.max(ax1!, bx1!));
  const height = Math.max(0, Math.min(ay2!, by2!) - Math.max(ay1!, by1!));
  const areas = (ax2! - ax1!) * (ay2! - ay1!) + (bx2! - bx1!) * (by2! - by1!);
  return (width * height) / (areas - width * height);
}

describe('nms', () => {
  golden.plain.forEach((sample, i) => {
    it(`keeps what the reference keeps: bare case ${i}`, () => {
      const kept = nms(Float32Array.from(sample.boxes.flat()), Float32Array.from(sample.scores), sample.iou);
      assert.deepEqual(Array.from(kept), sample.keep);
    });
  });

  const box = fc
    .tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 0, max: 40 })))
    .map(([x, y, w, h]) => [x!, y!, x! + w! + 1, y! + h! + 1]);
  const scored = fc.array(fc.tuple(box, fc.float({ min: 0, max: 1, noNaN: true })), { maxLength: 40 });

  it('leaves no overlapping pair, and drops only boxes that overlap a better kept one', () => {
    fc.assert(
      fc.property(scored, fc.double({ min: 0.05, max: 0.95, noNaN: true }), (items, threshold) => {
        const boxes = Float32Array.from(items.flatMap(([corners]) => corners));
        const scores = Float32Array.from(items, ([, score]) => score);
        const kept = Array.from(nms(boxes, scores, threshold));
        const overlaps = (a: number, b: number) => iou(items[a]![0], items[b]![0]) > threshold;
        for (const [i, a] of kept.entries()) for (const b of kept.slice(i + 1)) assert.ok(!overlaps(a, b));
        for (const index of items.keys()) {
          if (kept.includes(index)) continue;
          assert.ok(kept.some((better) => overlaps(better, index) && scores[better]! >= scores[index]!));
        }
      }),
    );
  });
});

describe('descendingOrder', () => {
  for (const Values of [Float32Array, Float64Array]) {
    it(`equals a stable comparison sort of a ${Values.name}`, () => {
      const value = fc.oneof(fc.double({ noNaN: true }), fc.constantFrom(0, -0, 0.5, -0.5));
      fc.assert(
        fc.property(fc.array(value, { maxLength: 60 }), (numbers) => {
          const values = Values.from(numbers);
          const expected = [...values.keys()].sort((a, b) => {
            const [x, y] = [values[a]!, values[b]!];
            return x === y ? 0 : x > y ? -1 : 1;
          });
          assert.deepEqual(Array.from(descendingOrder(values)), expected);
        }),
      );
    });
  }
});
