import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { optim, randn, slice, type Tensor, zeros } from '../src/index.ts';
import { Parameter } from '../src/nn/parameter.ts';
import { sameFlatLayout } from '../src/optim/layout.ts';

const SHAPE = [4, 3, 5, 5];

/** Ways in which a tensor of SHAPE can lie in memory. */
const LAYOUTS: Record<string, (values: Tensor) => Tensor> = {
  contiguous: (t) => t.clone({ memoryFormat: 'contiguous' }),
  channels_last: (t) => t.clone({ memoryFormat: 'channels_last' }),
  transposed: (t) => t.transpose(0, 3).contiguous().transpose(0, 3),
  'with gaps': (t) => gaps(t),
};

function gaps(values: Tensor): Tensor {
  const view = zeros([4, 3, 5, 10]).at(slice(), slice(), slice(), slice(0, 10, 2));
  view.copy_(values);
  return view;
}

const OPTIMIZERS: Record<string, (param: Tensor, options: object) => optim.Optimizer> = {
  'plain SGD': (p, o) => new optim.SGD([p], { lr: 0.1, ...o }),
  'SGD with momentum': (p, o) => new optim.SGD([p], { lr: 0.1, momentum: 0.9, weightDecay: 0.01, ...o }),
  AdamW: (p, o) => new optim.AdamW([p], { lr: 0.1, amsgrad: true, ...o }),
};

function assertClose(actual: Tensor, expected: Tensor, what: string): void {
  const error = actual.sub(expected).abs().max().item() as number;
  assert.ok(error <= 1e-6, `${what}: off by ${error}`);
}

const start = randn(SHAPE);
const gradients = [randn(SHAPE), randn(SHAPE), randn(SHAPE)];

describe('weights are right however parameter, gradient and loaded state lie in memory', () => {
  for (const [name, make] of Object.entries(OPTIMIZERS)) {
    for (const [paramLayout, layParam] of Object.entries(LAYOUTS)) {
      for (const [gradLayout, layGrad] of Object.entries(LAYOUTS)) {
        test(`${name}: parameter ${paramLayout}, gradient ${gradLayout}`, () => {
          const plain = new Parameter(start.clone());
          const reference = make(plain, { foreach: true });
          const param = new Parameter(layParam(start));
          let optimizer = make(param, {});
          gradients.forEach((gradient, step) => {
            if (step === 2) {
              optimizer = make(param, {});
              optimizer.loadStateDict(reference.stateDict());
            }
            plain.grad = gradient.clone();
            param.grad = layGrad(gradient);
            reference.step();
            optimizer.step();
            assertClose(param, plain, `step ${step + 1}`);
          });
          assert.deepEqual(param.stride(), layParam(start).stride());
        });
      }
    }
  }
});

describe('optimizer state takes the strides of its parameter', () => {
  for (const layout of ['contiguous', 'channels_last', 'transposed']) {
    test(layout, () => {
      const param = new Parameter(LAYOUTS[layout]!(start));
      param.grad = start.clone();
      const optimizer = new optim.AdamW([param], { amsgrad: true });
      optimizer.step();
      const state = () => Object.entries(optimizer.state.get(param)!).filter(([name]) => name !== 'step');
      assert.deepEqual(
        state().map(([name, value]) => [name, value!.stride()]),
        ['expAvg', 'expAvgSq', 'maxExpAvgSq'].map((name) => [name, param.stride()]),
      );
      const saved = optimizer.stateDict();
      for (const [name, value] of Object.entries(saved.state[0]!)) {
        if (name !== 'step') saved.state[0]![name] = (value as Tensor).clone({ memoryFormat: 'contiguous' });
      }
      optimizer.loadStateDict(saved);
      for (const [name, value] of state()) assert.deepEqual(value!.stride(), param.stride(), name);
    });
  }
});

describe('sameFlatLayout allows the flat walk only where every element lies at the same offset', () => {
  const cases: [string, Tensor[], boolean][] = [
    ['contiguous', [zeros(SHAPE), zeros(SHAPE)], true],
    ['both channels_last', [LAYOUTS.channels_last!(start), LAYOUTS.channels_last!(start)], true],
    ['contiguous and channels_last', [zeros(SHAPE), LAYOUTS.channels_last!(start)], false],
    ['both with gaps', [gaps(start), gaps(start)], false],
    ['expanded', [zeros([3, 1]).expand([3, 4]), zeros([3, 1]).expand([3, 4])], false],
    [
      'strides of dimensions of one element',
      [zeros([8, 4, 1, 1]), LAYOUTS.channels_last!(zeros([8, 4, 1, 1]))],
      true,
    ],
    ['scalars', [zeros([]), zeros([])], true],
    ['empty', [zeros([0, 3]), zeros([0, 3])], true],
    ['the third differs', [zeros([2, 3]), zeros([2, 3]), zeros([3, 2]).transpose(0, 1)], false],
  ];
  for (const [name, tensors, expected] of cases) {
    test(name, () => assert.equal(sameFlatLayout(tensors), expected));
  }
});
