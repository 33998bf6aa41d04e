import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { nn, scope } from '@mezzo/torch';
import { buildModel } from '../src/models/build.ts';
import { type ModelProfile, profileModel } from '../src/models/profile.ts';
import { fnv1a32 } from './formula.ts';
import { readGolden } from './golden.ts';

interface Counts {
  params: number;
  state_dict_len: number;
  bn_layers: number;
  state_dict_numel: number;
  layers: number;
  keys_fnv1a?: number;
  detect_in?: number[];
}

const rows = readGolden<{ rows: { family: string; scale: string; nc80: Counts; nc1: Counts }[] }>(
  'models/param_counts.json',
).rows;

/** Published numbers of YOLOv5 with anchors: parameters at 80 and 1 classes, tensors of the state, BatchNorms. */
const ANCHORED: Readonly<Record<string, readonly [number, number, number, number]>> = {
  yolov5n: [1_872_157, 1_765_270, 349, 57],
  yolov5s: [7_235_389, 7_022_326, 349, 57],
  yolov5m: [21_190_557, 20_871_318, 481, 79],
  yolov5l: [46_563_709, 46_138_294, 613, 101],
  yolov5x: [86_749_405, 86_217_814, 745, 123],
};

/** Published conv-only GFLOPs at 640 px, two decimals. */
const gflops: Readonly<Record<string, number>> = {
  yolov8n: 8.74,
  yolov8s: 28.6,
  yolov8m: 78.94,
  yolov8l: 165.15,
  yolov8x: 257.8,
  yolo11n: 6.48,
  yolo11s: 21.47,
  yolo11m: 67.98,
  yolo11l: 86.91,
  yolo11x: 194.9,
  yolov5nu: 7.72,
  yolov5su: 23.99,
  yolov5mu: 64.2,
  yolov5lu: 134.99,
  yolov5xu: 246.39,
  yolov5n: 4.47,
  yolov5s: 16.43,
  yolov5m: 48.87,
  yolov5l: 108.99,
  yolov5x: 205.45,
};
const documented = documentedRows();

for (const { family, scale, nc80, nc1 } of rows) {
  const name = family.endsWith('u') ? `${family.slice(0, -1)}${scale}u` : `${family}${scale}`;
  test(`${name}: parameters, layers, names and work equal the published ones`, () => {
    for (const [nc, expected] of [
      [80, nc80],
      [1, nc1],
    ] as const) {
      scope(() => {
        const model = buildModel(name, { nc });
        const state = Object.entries(model.stateDict());
        const profile = profileModel(model, 640);
        const { params, gradients, layers } = profile;
        if (nc === 80) assertWork(name, profile);
        assert.equal(params, expected.params);
        assert.equal(gradients, expected.params - 16);
        assert.equal(layers.length, expected.layers);
        assert.equal(state.length, expected.state_dict_len);
        assert.equal(
          [...model.modules()].filter((module) => module instanceof nn.BatchNorm2d).length,
          expected.bn_layers,
        );
        assert.equal(
          state.reduce((sum, [, tensor]) => sum + tensor.numel(), 0),
          expected.state_dict_numel,
        );
        if (expected.keys_fnv1a !== undefined) {
          const text = state.map(([key, tensor]) => `${key}:${tensor.shape.join(',')}`).join('\n');
          assert.equal(fnv1a32(text), expected.keys_fnv1a);
        }
        if (expected.detect_in !== undefined) {
          assert.deepEqual(model.description.layers.at(-1)!.inChannels, expected.detect_in);
        }
        assert.equal(documented[name]?.[nc === 80 ? 'nc80' : 'nc1'], expected.params);
      });
    }
  });
}

for (const [name, [nc80, nc1, tensors, norms]] of Object.entries(ANCHORED)) {
  test(`${name}: parameters, layers, names and work equal the published ones`, () => {
    for (const [nc, params] of [
      [80, nc80],
      [1, nc1],
    ] as const) {
      scope(() => {
        const model = buildModel(name, { nc });
        const state = model.stateDict();
        const profile = profileModel(model, 640);
        assert.equal(profile.params, params);
        assert.equal(profile.gradients, params);
        if (nc === 80) assertWork(name, profile);
        assert.equal(Object.keys(state).length, tensors);
        assert.equal([...model.modules()].filter((module) => module instanceof nn.BatchNorm2d).length, norms);
        assert.deepEqual(Object.keys(state).slice(-7), [
          'model.24.anchors',
          ...[0, 1, 2].flatMap((level) => [`model.24.m.${level}.weight`, `model.24.m.${level}.bias`]),
        ]);
        assert.deepEqual(state['model.24.anchors']!.shape, [3, 3, 2]);
        assert.equal(documented[name]?.[nc === 80 ? 'nc80' : 'nc1'], params);
      });
    }
  });
}

/** Convolution work of a model of 80 classes at 640 px, which is what the documentation says. */
function assertWork(name: string, { gflops: found }: ModelProfile): void {
  assert.equal(Number(found.toFixed(2)), gflops[name]);
  assert.equal(documented[name]?.gflops, gflops[name]);
}

/** The table of docs/models.md: | model | parameters, 80 classes | parameters, 1 class | GFLOPs | … */
function documentedRows(): Record<string, { nc80: number; nc1: number; gflops: number }> {
  const page = readFileSync(new URL('../../../../docs/models.md', import.meta.url), 'utf8');
  const cells = page
    .split('\n')
    .filter((line) => line.startsWith('| yolo'))
    .map((line) => line.split('|').map((cell) => cell.trim().replaceAll(',', '')));
  return Object.fromEntries(
    cells.map(([, name, nc80, nc1, work]) => [
      name,
      { nc80: Number(nc80), nc1: Number(nc1), gflops: Number(work) },
    ]),
  );
}
