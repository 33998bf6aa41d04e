import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { thisCpu } from '@mezzo/libtorch';
import {
  autocast,
  backends,
  cuda,
  type DType,
  manualSeed,
  nn,
  op,
  randn,
  type Tensor,
  zeros,
} from '../src/index.ts';

type Low = 'bfloat16' | 'float16';

/** Input, states, weights, biases, layers, dropout, training, bidirectional, batch first: outputs and states. */
type Recurrent = (input: Tensor, ...rest: unknown[]) => [Tensor, ...Tensor[]];

interface Kind {
  run: Recurrent;
  gates: number;
  /** Outputs under autocast on the CPU: the cells that add to their float32 state stay float32. */
  cpu: (low: Low) => DType;
}

const KINDS: Record<string, Kind> = {
  lstm: { run: op<Recurrent>('aten::lstm', 'input'), gates: 4, cpu: () => 'float32' },
  gru: { run: op<Recurrent>('aten::gru', 'input'), gates: 3, cpu: () => 'float32' },
  rnn_tanh: { run: op<Recurrent>('aten::rnn_tanh', 'input'), gates: 1, cpu: (low) => low },
};

const [INPUT, HIDDEN, BATCH, STEPS] = [3, 4, 2, 5];

interface Shape {
  layers: number;
  bidirectional: boolean;
  batchFirst: boolean;
}

const SHAPES: Shape[] = [
  { layers: 1, bidirectional: false, batchFirst: false },
  { layers: 2, bidirectional: false, batchFirst: true },
  { layers: 2, bidirectional: true, batchFirst: false },
];

function setUp({ gates }: Kind, { layers, bidirectional, batchFirst }: Shape, device: string) {
  manualSeed(8);
  const directions = bidirectional ? 2 : 1;
  const weights: Tensor[] = [];
  for (let i = 0; i < layers * directions; i++) {
    const inputs = i < directions ? INPUT : HIDDEN * directions;
    for (const shape of [
      [gates * HIDDEN, inputs],
      [gates * HIDDEN, HIDDEN],
      [gates * HIDDEN],
      [gates * HIDDEN],
    ]) {
      weights.push(randn(shape).mul(0.4).to(device));
    }
  }
  return {
    input: randn(batchFirst ? [BATCH, STEPS, INPUT] : [STEPS, BATCH, INPUT]).to(device),
    state: () => zeros([layers * directions, BATCH, HIDDEN], { device }),
    weights,
  };
}

/** Output and weight gradients of one pass. */
function pass(name: string, shape: Shape, dtype: DType, device: string, region: <T>(fn: () => T) => T) {
  const kind = KINDS[name]!;
  const { input, state, weights } = setUp(kind, shape, device);
  const params = weights.map((weight) => new nn.Parameter(weight.to(dtype)));
  const zero = () => state().to(dtype);
  const states = name === 'lstm' ? [zero(), zero()] : zero();
  const { layers, bidirectional, batchFirst } = shape;
  const [output] = region(() =>
    kind.run(input.to(dtype), states, params, true, layers, 0, true, bidirectional, batchFirst),
  );
  output.float().square().sum().backward();
  return { output, grads: params.map((param) => param.grad!) };
}

function assertNear(actual: Tensor, expected: Tensor, what: string): void {
  const error = actual.float().sub(expected.float()).abs().max().item() as number;
  const size = expected.float().abs().max().item() as number;
  assert.ok(error <= 0.03 * size, `${what}: ${error} of ${size}`);
}

function check(name: string, shape: Shape, low: Low, device: string, outputs: DType): void {
  const inside = pass(name, shape, 'float32', device, (fn) =>
    autocast({ device: device === 'cpu' ? 'cpu' : 'cuda', dtype: low }, fn),
  );
  const control = pass(name, shape, low, device, (fn) => fn());
  assert.equal(inside.output.dtype, outputs);
  assert.deepEqual(new Set(inside.grads.map((grad) => grad.dtype)), new Set(['float32']));
  assertNear(inside.output, control.output, 'output');
  inside.grads.forEach((grad, i) => {
    assertNear(grad, control.grads[i]!, `gradient ${i}`);
  });
}

const describeShape = ({ layers, bidirectional, batchFirst }: Shape) =>
  `${layers} layers${bidirectional ? ', bidirectional' : ''}${batchFirst ? ', batch first' : ''}`;

/** oneDNN's LSTM needs a processor with the dtype; LibTorch's own kernels do without. */
function withoutOneDnn<T>(fn: () => T): T {
  const before = backends.mkldnn.enabled;
  backends.mkldnn.enabled = false;
  try {
    return fn();
  } finally {
    backends.mkldnn.enabled = before;
  }
}

describe('recurrent operations', () => {
  test("A9: oneDNN's LSTM is bfloat16", {
    skip: thisCpu().bf16 ? false : 'needs a processor with bfloat16',
  }, () => {
    for (const shape of SHAPES) check('lstm', shape, 'bfloat16', 'cpu', 'bfloat16');
  });

  for (const [name, kind] of Object.entries(KINDS)) {
    for (const shape of SHAPES) {
      for (const low of ['bfloat16', 'float16'] as const) {
        test(`A9: ${name} to ${low} on the CPU, ${describeShape(shape)}`, () => {
          withoutOneDnn(() => check(name, shape, low, 'cpu', kind.cpu(low)));
        });

        test(
          `A9: ${name} to ${low} on CUDA, ${describeShape(shape)}`,
          {
            skip: cuda.isAvailable() ? false : 'needs a CUDA device',
          },
          () => check(name, shape, low, 'cuda', low),
        );
      }
    }
  }
});
