import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { autocast, backends, manualSeed, randn, scope, Tensor } from '../src/index.ts';
import { assertClose, numbersOf, type SavedTensor } from './assert-close.ts';
import { fixture } from './fixture.ts';
import { type Nested, SEQUENCES, type Sequence } from './sequence-cases.ts';

interface Case {
  repr: string;
  keys: string[];
  parameterSums: number[];
  outputs: SavedTensor[];
  grads: SavedTensor[];
  bfloat16: Low;
  float16: Low;
}

interface Low {
  dtypes: string[];
  outputs: SavedTensor[];
  gradSizes: number[];
}

const golden = fixture<Record<string, Case>>('sequences.json');

const flatten = (result: Nested): Tensor[] =>
  result === null ? [] : result instanceof Tensor ? [result] : result.flatMap(flatten);

const size = (values: Tensor) => numbersOf(values).reduce((sum, value) => sum + Math.abs(value), 0);

/** Seed 0 makes the module, seed 1 the inputs, seed 2 runs it, as in the fixture's script. */
function run({ make, inputs, call }: Sequence, low: 'bfloat16' | 'float16' | null) {
  manualSeed(0);
  const module = make();
  const sizes = module.parameters().map(size);
  manualSeed(1);
  const given = inputs.map((shape) => randn(shape).requiresGrad_());
  manualSeed(2);
  const outputs = autocast({ device: 'cpu', dtype: low ?? 'bfloat16', enabled: low !== null }, () =>
    flatten(call(module, ...given)),
  );
  const losses = outputs.map((output) => output.float().square().sum());
  losses.reduce((sum, loss) => sum.add(loss)).backward();
  const grads = [...given, ...module.parameters()].map((leaf) => leaf.grad!);
  return { module, sizes, outputs, grads };
}

/** The fixture comes from LibTorch's own kernels, not from oneDNN, whose use depends on the processor. */
function withoutOneDnn(fn: () => void): void {
  const before = backends.mkldnn.enabled;
  backends.mkldnn.enabled = false;
  try {
    scope(fn);
  } finally {
    backends.mkldnn.enabled = before;
  }
}

const near = (actual: number, expected: number, share: number, what: string) =>
  assert.ok(
    Math.abs(actual - expected) <= share * Math.abs(expected) + 1e-6,
    `${what}: ${actual}, expected ${expected}`,
  );

describe('modules of sequences and of several inputs give PyTorch’s numbers', () => {
  for (const [name, expected] of Object.entries(golden)) {
    test(`${name} in float32`, () => {
      withoutOneDnn(() => {
        const { module, sizes, outputs, grads } = run(SEQUENCES[name]!, null);
        assert.deepEqual(Object.keys(module.stateDict()), expected.keys);
        sizes.forEach((sum, i) => {
          near(sum, expected.parameterSums[i]!, 1e-5, `initial ${expected.keys[i]}`);
        });
        const repr = expected.repr.replaceAll('NonDynamicallyQuantizableLinear', 'Linear');
        if (!/^Transformer(Encoder)?$/.test(name)) assert.equal(String(module), repr);
        expected.outputs.forEach((output, i) => {
          assertClose(outputs[i]!, output, `output ${i}`, 1e-4, 1e-5);
        });
        expected.grads.forEach((grad, i) => {
          assertClose(grads[i]!, grad, `gradient ${i}`, 1e-4, 2e-5);
        });
      });
    });

    for (const low of ['bfloat16', 'float16'] as const) {
      test(`${name} under autocast to ${low}`, () => {
        withoutOneDnn(() => {
          const { outputs, grads } = run(SEQUENCES[name]!, low);
          const { dtypes, outputs: wanted, gradSizes } = expected[low];
          assert.deepEqual(
            outputs.map(({ dtype }) => dtype),
            dtypes,
          );
          const share = low === 'bfloat16' ? 0.02 : 0.003;
          wanted.forEach((output, i) => {
            assertClose(outputs[i]!.float(), output, `output ${i}`, share, share);
          });
          gradSizes.forEach((sum, i) => {
            near(size(grads[i]!), sum, share, `gradient ${i}`);
          });
        });
      });
    }
  }
});
