import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { optim, scope, type Tensor, tensor } from '../src/index.ts';
import { Parameter } from '../src/nn/parameter.ts';
import { fixture } from './fixture.ts';

interface SavedTensor {
  shape: number[];
  data: number[];
}

interface Case {
  optimizer: 'SGD' | 'Adam' | 'AdamW' | 'Adamax' | 'NAdam' | 'RAdam' | 'RMSprop';
  variant: string;
  options: Record<string, unknown>;
  late: boolean;
  after: number[][][];
  state_dict: {
    state: Record<string, Record<string, SavedTensor | null>>;
    param_groups: Record<string, unknown>[];
  };
}

const golden = fixture<{ shapes: number[][]; start: number[][]; grads: number[][][]; cases: Case[] }>(
  'optim.json',
);

const KERNELS = { automatic: {}, fused: { fused: true }, foreach: { foreach: true } };

/** Row-major numbers as a tensor; one of four dimensions lies in channels_last order. */
function laid(values: readonly number[], shape: readonly number[]): Tensor {
  const made = tensor(Float32Array.from(values), { shape });
  return shape.length === 4 ? made.contiguous({ memoryFormat: 'channels_last' }) : made;
}

const numbers = (t: Tensor) => Array.from(t.toTypedArray() as Float32Array);

const camel = (options: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(options).map(([key, value]) => [
      key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );

function make(golden: Case, params: Tensor[], kernels: object): optim.Optimizer {
  const groups = [{ params: params.slice(0, 2) }, { params: params.slice(2), lr: 0.003 }];
  return new optim[golden.optimizer](groups, { lr: 0.01, ...camel(golden.options), ...kernels });
}

/** Relative to the largest value: the weights hold cancelled sums. */
function close(actual: readonly number[], expected: readonly number[], what: string, tolerance = 2e-6): void {
  assert.equal(actual.length, expected.length, what);
  const scale = Math.max(1, ...expected.map(Math.abs));
  actual.forEach((value, i) => {
    const difference = Math.abs(value - expected[i]!);
    assert.ok(difference <= tolerance * scale, `${what}[${i}]: ${value}, expected ${expected[i]}`);
  });
}

function stepWith(optimizer: optim.Optimizer, params: readonly Tensor[], step: number, late: boolean): void {
  params.forEach((param, i) => {
    const missing = late && i === 1 && step < 2;
    param.grad = missing ? null : laid(golden.grads[step]![i]!, golden.shapes[i]!);
  });
  if (step === 3) optimizer.paramGroups[0]!.lr = 0.02;
  optimizer.step();
}

for (const [kernels, options] of Object.entries(KERNELS)) {
  describe(`${kernels} kernels give PyTorch's weights and state`, () => {
    for (const row of golden.cases) {
      test(`${row.optimizer} ${row.variant}`, () => {
        const params = golden.start.map((values, i) => new Parameter(laid(values, golden.shapes[i]!)));
        const optimizer = make(row, params, options);
        row.after.forEach((expected, step) => {
          scope(() => stepWith(optimizer, params, step, row.late));
          params.forEach((param, i) => {
            close(numbers(param), expected[i]!, `parameter ${i} after step ${step + 1}`);
          });
        });
        const { state } = optimizer.stateDict();
        assert.deepEqual(Object.keys(state), Object.keys(row.state_dict.state));
        for (const [number, saved] of Object.entries(row.state_dict.state)) {
          for (const [name, value] of Object.entries(saved)) {
            if (value === null) continue;
            const ours = state[number]![name] as Tensor;
            assert.deepEqual(ours.shape, value.shape, name);
            close(numbers(ours), value.data, `${name} of parameter ${number}`);
          }
        }
      });
    }
  });
}

describe('state dict in the format of PyTorch', () => {
  for (const row of golden.cases.filter(({ variant }) => variant === 'everything')) {
    test(`${row.optimizer}: Python's options have the same names and values here`, () => {
      const params = golden.start.map((values, i) => new Parameter(laid(values, golden.shapes[i]!)));
      const optimizer = make(row, params, {});
      optimizer.paramGroups[0]!.lr = 0.02;
      const ours = optimizer.stateDict().param_groups;
      // What Python keeps for its compiler and for autograd through the step has no counterpart.
      const unknown = new Set(['differentiable', 'capturable']);
      row.state_dict.param_groups.forEach((group, i) => {
        const expected = Object.fromEntries(Object.entries(group).filter(([key]) => !unknown.has(key)));
        assert.deepEqual(ours[i], expected);
      });
    });

    test(`${row.optimizer}: a state saved by Python goes on as there`, () => {
      // The state after 5 steps is loaded before a sixth that repeats the first gradients, and compared with
      // an optimizer that took all six here.
      const fresh = () => golden.start.map((values, i) => new Parameter(laid(values, golden.shapes[i]!)));
      const straight = fresh();
      const optimizer = make(row, straight, {});
      for (let step = 0; step < 5; step++) stepWith(optimizer, straight, step, row.late);
      const resumed = row.after[4]!.map((values, i) => new Parameter(laid(values, golden.shapes[i]!)));
      const second = make(row, resumed, {});
      second.loadStateDict({
        state: Object.fromEntries(
          Object.entries(row.state_dict.state).map(([number, saved]) => [
            number,
            Object.fromEntries(
              Object.entries(saved).map(([name, value]) => [
                name,
                value === null ? null : tensor(Float32Array.from(value.data), { shape: value.shape }),
              ]),
            ),
          ]),
        ),
        param_groups: row.state_dict.param_groups as unknown as optim.SavedGroup[],
      });
      stepWith(optimizer, straight, 0, false);
      stepWith(second, resumed, 0, false);
      resumed.forEach((param, i) => {
        close(numbers(param), numbers(straight[i]!), `parameter ${i}`);
      });
    });
  }
});
