import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type ApPerClass,
  type ApRule,
  apPerClass,
  averagePrecision,
  precisionRecallCurve,
} from '../src/metrics/ap.ts';
import { IOU_THRESHOLDS, type MatchingRule, truePositives } from '../src/metrics/matching.ts';
import { readFixture } from './fixture.ts';

interface ApGolden {
  name: string;
  tp: number[][];
  conf: number[];
  pred_cls: number[];
  target_cls: number[];
  classes: number[];
  p: number[];
  r: number[];
  f1: number[];
  tp_at_max_f1: number[];
  fp_at_max_f1: number[];
  ap_8_4_190: number[][];
  ap_8_3: number[][];
  f1_curve_every_50: number[][];
  p_curve_every_50: number[][];
  r_curve_every_50: number[][];
}

interface MetricsGolden {
  iou_thresholds: number[];
  ap_per_class: ApGolden[];
  compute_ap_example: { recall: number[]; precision: number[]; ap_8_4_190: number; ap_8_3: number };
  matching: {
    name: string;
    target_cls: number[];
    pred_cls: number[];
    iou: number[][];
    correct_8_4_190: number[][];
    correct_8_3: number[][];
  }[];
}

const golden = readFixture<MetricsGolden>('metrics.json');
const apRules = [
  ['drop', 'ap_8_4_190'],
  ['slope', 'ap_8_3'],
] as const satisfies [ApRule, keyof ApGolden][];

function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-9): void {
  assert.equal(actual.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    assert.ok(Math.abs(actual[i]! - expected[i]!) <= tolerance, `[${i}]: ${actual[i]} is not ${expected[i]}`);
  }
}

const every50 = (curve: Float64Array) => curve.filter((_, i) => i % 50 === 0);

function input(sample: ApGolden, rule: ApRule) {
  return {
    tp: Uint8Array.from(sample.tp.flat()),
    conf: Float64Array.from(sample.conf),
    detectionClasses: Int32Array.from(sample.pred_cls),
    targetClasses: Int32Array.from(sample.target_cls),
    rule,
  };
}

describe('apPerClass', () => {
  for (const sample of golden.ap_per_class) {
    for (const [rule, key] of apRules) {
      it(`gives the reference's numbers for set "${sample.name}" by rule "${rule}"`, () => {
        const result: ApPerClass = apPerClass(input(sample, rule));
        assert.deepEqual(Array.from(result.classes), sample.classes);
        result.ap.forEach((levels, k) => {
          assertClose(levels, sample[key][k]!);
        });
        assertClose(result.precision, sample.p);
        assertClose(result.recall, sample.r);
        assertClose(result.f1, sample.f1);
        assert.deepEqual(Array.from(result.truePositives), sample.tp_at_max_f1);
        assert.deepEqual(Array.from(result.falsePositives), sample.fp_at_max_f1);
        result.classes.forEach((_, k) => {
          assertClose(every50(result.curves.precision[k]!), sample.p_curve_every_50[k]!);
          assertClose(every50(result.curves.recall[k]!), sample.r_curve_every_50[k]!);
          assertClose(every50(result.curves.f1[k]!), sample.f1_curve_every_50[k]!);
        });
      });
    }
  }

  it('is zero for a class that nothing found, and does not report a class without targets', () => {
    const result = apPerClass({
      tp: new Uint8Array(10),
      conf: Float32Array.of(0.9),
      detectionClasses: Int32Array.of(3),
      targetClasses: Int32Array.of(1, 1),
      rule: 'drop',
    });
    assert.deepEqual(Array.from(result.classes), [1]);
    assert.deepEqual(Array.from(result.ap[0]!), new Array(10).fill(0));
    assert.deepEqual([result.precision[0], result.recall[0], result.f1[0]], [0, 0, 0]);
  });

  it('does not depend on the order of the detections', () => {
    const detection = fc.record({ cls: fc.nat(2), levels: fc.nat(10), key: fc.nat() });
    fc.assert(
      fc.property(fc.uniqueArray(detection, { selector: (d) => d.key, maxLength: 30 }), (detections) => {
        const score = (list: typeof detections) =>
          apPerClass({
            tp: Uint8Array.from(list.flatMap((d) => IOU_THRESHOLDS.map((_, i) => (i < d.levels ? 1 : 0)))),
            conf: Float64Array.from(list, (d) => d.key / 2 ** 31),
            detectionClasses: Int32Array.from(list, (d) => d.cls),
            targetClasses: Int32Array.from({ length: 90 }, (_, i) => i % 3),
            rule: 'drop',
          });
        const shuffled = [...detections].sort((a, b) => (a.key % 7) - (b.key % 7));
        assert.deepEqual(score(shuffled), score(detections));
      }),
    );
  });
});

describe('averagePrecision', () => {
  const example = golden.compute_ap_example;
  for (const [rule, key] of apRules) {
    it(`gives the reference's number for one curve by rule "${rule}"`, () => {
      const recall = Float64Array.from(example.recall);
      const curve = precisionRecallCurve(recall, Float64Array.from(example.precision), rule);
      assertClose([averagePrecision(curve)], [example[key]]);
    });
  }

  it('stops at 0.995 when every target is found before any false alarm', () => {
    const recall = Float64Array.of(0.25, 0.5, 0.75, 1, 1);
    const precision = Float64Array.of(1, 1, 1, 1, 0.8);
    // the last trapezoid, from recall 0.99 to 1, ends at the zero that closes the curve
    assertClose([averagePrecision(precisionRecallCurve(recall, precision, 'slope'))], [0.995]);
    assertClose([averagePrecision(precisionRecallCurve(recall, precision, 'drop'))], [0.995]);
  });
});

describe('truePositives', () => {
  const rules = [
    ['confidence', 'correct_8_4_190'],
    ['iou', 'correct_8_3'],
  ] as const satisfies [MatchingRule, string][];
  for (const sample of golden.matching) {
    for (const [rule, key] of rules) {
      it(`marks what the reference marks: ${sample.name}, by ${rule}`, () => {
        const correct = truePositives(
          Float32Array.from(sample.iou.flat()),
          Int32Array.from(sample.target_cls),
          Int32Array.from(sample.pred_cls),
          rule,
        );
        assert.deepEqual(Array.from(correct), sample[key].flat());
      });
    }
  }

  it('compares with the thresholds as fp32 values', () => {
    assert.deepEqual(IOU_THRESHOLDS, golden.iou_thresholds);
  });

  it('gives no target to two detections and no detection to a target of another class', () => {
    const classes = fc.array(fc.nat(2), { maxLength: 8 });
    const rule = fc.constantFrom<MatchingRule>('confidence', 'iou');
    fc.assert(
      fc.property(
        classes,
        classes,
        fc.infiniteStream(fc.float({ min: 0, max: 1, noNaN: true })),
        rule,
        (t, d, s, r) => {
          const iou = Float32Array.from({ length: t.length * d.length }, () => s.next().value);
          const correct = truePositives(iou, Int32Array.from(t), Int32Array.from(d), r);
          for (let level = 0; level < 10; level++) {
            for (const cls of new Set(d)) {
              const hits = d.filter((other, i) => other === cls && correct[i * 10 + level]).length;
              assert.ok(hits <= t.filter((other) => other === cls).length);
            }
          }
        },
      ),
    );
  });
});
