import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { nn, scope } from '@mezzo/torch';
import { buildModel } from '../src/models/build.ts';
import { profileModel } from '../src/models/profile.ts';
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
).rows.filter(({ family }) => family === 'yolov8');

/** Published conv-only GFLOPs at 640 px, two decimals. */
const gflops: Readonly<Record<string, number>> = { n: 8.74, s: 28.6, m: 78.94, l: 165.15, x: 257.8 };
const documented = documentedRows();

for (const { family, scale, nc80, nc1 } of rows) {
  test(`${family}${scale}: parameters, layers, names and work equal the published ones`, () => {
    for (const [nc, expected] of [
      [80, nc80],
      [1, nc1],
    ] as const) {
      scope(() => {
        const model = buildModel(`${family}${scale}`, { nc });
        const state = Object.entries(model.stateDict());
        const { params, gradients, layers } = profileModel(model);
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
        assert.equal(documented[`${family}${scale}`]?.[nc === 80 ? 'nc80' : 'nc1'], expected.params);
      });
    }
  });

  test(`${family}${scale}: convolution work at 640 px`, () => {
    scope(() => {
      const profile = profileModel(buildModel(`${family}${scale}`), 640);
      assert.equal(Number(profile.gflops.toFixed(2)), gflops[scale]);
      assert.equal(documented[`${family}${scale}`]?.gflops, gflops[scale]);
    });
  });
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
