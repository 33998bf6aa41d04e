import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DetectionMetrics, type DetectionResult } from '../src/metrics/detection.ts';
import { METRIC_RULES, type MetricRules } from '../src/metrics/rules.ts';
import { bccd, bccdImages } from './bccd.ts';
import { readFixture } from './fixture.ts';

interface Numbers {
  p: number[];
  r: number[];
  ap_8_4_190: number[][];
  ap_8_3: number[][];
  map50_8_4_190: number;
  map50_95_8_4_190: number;
  map50_8_3: number;
  map50_95_8_3: number;
  mp: number;
  mr: number;
}

interface BccdGolden {
  bccd: {
    'matching_8.4.190': Numbers & { results_dict_8_4_190: Record<string, number> };
    'matching_8.3': Numbers;
    confusion_matrix: { matrix_8_4_190: number[][]; matrix_8_3: number[][] };
  };
}

const golden = readFixture<BccdGolden>('metrics.json').bccd;

function evaluate(rules: MetricRules): DetectionResult {
  const metrics = new DetectionMetrics(bccd.names, rules);
  for (const { detections, targets } of bccdImages()) metrics.add(detections, targets);
  return metrics.result();
}

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) <= 1e-6, `${actual} is not ${expected}`);

describe('DetectionMetrics on BCCD', () => {
  for (const [recipe, matching, ap, map50, map] of [
    ['8.4', 'matching_8.4.190', 'ap_8_4_190', 'map50_8_4_190', 'map50_95_8_4_190'],
    ['8.3', 'matching_8.3', 'ap_8_3', 'map50_8_3', 'map50_95_8_3'],
  ] as const) {
    it(`gives the reference's numbers by the ${recipe} rules`, () => {
      const expected = golden[matching];
      const result = evaluate(METRIC_RULES[recipe]);
      near(result.box.map50, expected[map50]);
      near(result.box.map, expected[map]);
      near(result.box.precision, expected.mp);
      near(result.box.recall, expected.mr);
      near(result.box.map75, expected[ap].reduce((sum, levels) => sum + levels[5]!, 0) / 3);
      result.perClass.forEach((row, k) => {
        near(row.precision, expected.p[k]!);
        near(row.recall, expected.r[k]!);
        near(row.ap50, expected[ap][k]![0]!);
        near(row.ap, expected[ap][k]!.reduce((sum, value) => sum + value, 0) / 10);
        near(result.box.maps[k]!, row.ap);
      });
    });
  }

  it('counts images and instances', () => {
    const result = evaluate(METRIC_RULES['8.4']);
    assert.deepEqual([result.images, result.instances], [72, 945]);
    const annotations = bccd.groundTruth.annotations;
    result.perClass.forEach((row, k) => {
      const own = annotations.filter((a) => a.category_id === k + 1);
      assert.equal(row.instances, own.length);
      assert.equal(row.images, new Set(own.map((a) => a.image_id)).size);
      assert.equal(row.name, bccd.names[k]);
    });
  });

  it('weighs the fitness by the rules', () => {
    near(evaluate(METRIC_RULES['8.4']).fitness, golden['matching_8.4.190'].results_dict_8_4_190.fitness!);
    const { map50_8_3, map50_95_8_3 } = golden['matching_8.3'];
    near(evaluate(METRIC_RULES['8.3']).fitness, 0.1 * map50_8_3 + 0.9 * map50_95_8_3);
  });

  it('fills the confusion matrix as the reference does', () => {
    const { matrix_8_4_190, matrix_8_3 } = golden.confusion_matrix;
    assert.deepEqual(Array.from(evaluate(METRIC_RULES['8.4']).confusion.counts), matrix_8_4_190.flat());
    assert.deepEqual(Array.from(evaluate(METRIC_RULES['8.3']).confusion.counts), matrix_8_3.flat());
  });

  it('normalizes the columns of the confusion matrix', () => {
    const { confusion } = evaluate(METRIC_RULES['8.4']);
    const normalized = confusion.normalized();
    for (let column = 0; column < 4; column++) {
      const sum = [0, 1, 2, 3].reduce((total, row) => total + normalized[row * 4 + column]!, 0);
      assert.ok(Math.abs(sum - 1) < 1e-12);
    }
    assert.equal(normalized[0], 685 / (685 + 41 + 79));
  });
});

describe('DetectionMetrics at the edges', () => {
  const none = { count: 0, boxes: new Float32Array(0), conf: new Float32Array(0), cls: new Int32Array(0) };
  const one = {
    count: 1,
    boxes: Float32Array.of(1, 1, 9, 9),
    conf: Float32Array.of(0.9),
    cls: Int32Array.of(1),
  };

  it('is zero without any image', () => {
    const result = new DetectionMetrics(['a', 'b']).result();
    assert.deepEqual(result.box, { precision: 0, recall: 0, map50: 0, map75: 0, map: 0, maps: [0, 0] });
    assert.deepEqual([result.fitness, result.images, result.instances], [0, 0, 0]);
  });

  it('is zero when nothing was found', () => {
    const metrics = new DetectionMetrics(['a', 'b']);
    metrics.add(none, one);
    const result = metrics.result();
    assert.deepEqual([result.box.map50, result.box.precision, result.box.recall], [0, 0, 0]);
    assert.equal(result.confusion.at(2, 1), 1);
  });

  it('counts detections on a background image as false', () => {
    const metrics = new DetectionMetrics(['a', 'b']);
    metrics.add(one, one);
    metrics.add(one, none);
    const result = metrics.result();
    assert.equal(result.confusion.at(1, 1), 1);
    assert.equal(result.confusion.at(1, 2), 1);
    assert.deepEqual([result.images, result.perClass[0]!.images], [2, 1]);
  });
});
