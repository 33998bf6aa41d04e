import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boxesToMatch } from '../src/engine/validator.ts';
import { DetectionMetrics } from '../src/metrics/detection.ts';
import { METRIC_RULES } from '../src/metrics/rules.ts';

test('a detection beyond the picture is matched whole in recipe 8.4, and cut at the edge in 8.3', () => {
  const image = { width: 100, height: 100 };
  const boxes = Float32Array.of(-25, 0, 50, 50);
  const truth = { count: 1, boxes: Float32Array.of(0, 0, 50, 50), cls: Int32Array.of(0) };
  const map = (recipe: '8.4' | '8.3') => {
    const rules = METRIC_RULES[recipe];
    const metrics = new DetectionMetrics(['cat'], { ...rules, apEnd: 'drop' });
    const matched = boxesToMatch(boxes, image, rules.edges);
    metrics.add({ count: 1, boxes: matched, conf: Float32Array.of(0.9), cls: Int32Array.of(0) }, truth);
    return metrics.result().box.map;
  };
  // Overlap 2500 / 3750: right at the four thresholds from 0.50 to 0.65.
  assert.ok(Math.abs(map('8.4') - 0.4 * 0.995) < 1e-6);
  assert.ok(Math.abs(map('8.3') - 0.995) < 1e-6);
  assert.deepEqual([...boxes], [-25, 0, 50, 50]);
});
