import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  cuda,
  memory,
  nn,
  ones,
  optim,
  scope,
  setWarningHandler,
  type Tensor,
  tensor,
  type Warning,
  zeros,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { assertNothingLeft } from './assert-memory.ts';

const { Parameter } = nn;

const param = (...values: number[]) => new Parameter(tensor(values));

describe('parameter groups', () => {
  test('take the defaults where they name nothing, and can be added later', () => {
    const [a, b, c] = [param(1), param(2), param(3)];
    const optimizer = new optim.SGD([{ params: a }, { params: [b], lr: 0.5, weightDecay: 0 }], {
      lr: 0.1,
      weightDecay: 0.2,
    });
    optimizer.addParamGroup({ params: new Set([c]), momentum: 0.9 });
    assert.deepEqual(
      optimizer.paramGroups.map(({ params, lr, weightDecay, momentum }) => [
        params,
        lr,
        weightDecay,
        momentum,
      ]),
      [
        [[a], 0.1, 0.2, 0],
        [[b], 0.5, 0, 0],
        [[c], 0.1, 0.2, 0.9],
      ],
    );
    for (const p of [a, b, c]) p.grad = tensor([1]);
    optimizer.step();
    assert.deepEqual(numbersOf(b), [1.5]);
  });

  test('an option changed between steps counts from the next one', () => {
    const p = param(1);
    const optimizer = new optim.SGD([p], { lr: 1 });
    p.grad = tensor([0.25]);
    optimizer.step();
    optimizer.paramGroups[0]!.lr = 2;
    optimizer.step();
    assert.deepEqual(numbersOf(p), [0.25]);
  });

  test('parameters of several dtypes in one group are stepped', () => {
    const params = (['float32', 'float64', 'bfloat16', 'float16'] as const).map(
      (dtype) => new Parameter(ones([2], { dtype })),
    );
    for (const make of [
      (p: Tensor[]) => new optim.SGD(p, { lr: 0.5, momentum: 0.9 }),
      (p: Tensor[]) => new optim.AdamW(p, { lr: 0.5 }),
    ]) {
      const optimizer = make(params);
      for (const p of params) p.grad = ones([2], { dtype: p.dtype });
      const before = params.map((p) => p.clone());
      optimizer.step();
      params.forEach((p, i) => {
        assert.equal(p.lt(before[i]!).all().item(), true, p.dtype);
        assert.equal(optimizer.state.get(p)!.momentumBuffer?.dtype ?? p.dtype, p.dtype);
      });
    }
  });

  test('a parameter without gradient is left alone and gets no state', () => {
    const [a, b] = [param(1), param(2)];
    const optimizer = new optim.Adam([a, b]);
    a.grad = tensor([1]);
    optimizer.step();
    assert.deepEqual([numbersOf(b), optimizer.state.has(a), optimizer.state.has(b)], [[2], true, false]);
  });
});

test('a closure runs with gradients and its value is returned', () => {
  const p = param(3);
  const optimizer = new optim.SGD([p], { lr: 0.5 });
  const loss = optimizer.step(() => {
    optimizer.zeroGrad();
    const value = p.square().sum();
    value.backward();
    return value.item();
  });
  assert.deepEqual([loss, numbersOf(p)], [9, [0]]);
});

test('the step leaves gradients as they are', () => {
  for (const fused of [true, false]) {
    const p = param(1, 2);
    p.grad = tensor([0.5, -0.5]);
    new optim.SGD([p], { momentum: 0.9, nesterov: true, weightDecay: 0.1, maximize: true, fused }).step();
    new optim.AdamW([p], { amsgrad: true, maximize: true, fused }).step();
    assert.deepEqual(numbersOf(p.grad), [0.5, -0.5]);
  }
});

describe('zeroGrad', () => {
  test('drops gradients', () => {
    const p = param(1);
    p.grad = tensor([1]);
    new optim.SGD([p]).zeroGrad();
    assert.equal(p.grad, null);
  });

  test('setToNone: false fills them with zeros where they are', () => {
    const [a, b] = [param(1, 2), param(1)];
    const held = tensor([3, 4]);
    a.grad = held;
    new optim.SGD([a, b]).zeroGrad({ setToNone: false });
    assert.deepEqual([numbersOf(held), a.grad!.requiresGrad, b.grad], [[0, 0], false, null]);
  });
});

describe('loadStateDict', () => {
  const trained = () => {
    const params = [param(1, 2), param(3)];
    const optimizer = new optim.Adam([{ params: [params[0]!] }, { params: [params[1]!], lr: 0.5 }]);
    for (const p of params) p.grad = ones(p.shape);
    optimizer.step();
    return optimizer;
  };

  test('copies: the saved tensors may change or go afterwards', () => {
    const source = trained();
    const target = new optim.Adam([{ params: [param(0, 0)] }, { params: [param(0)] }]);
    const saved = source.stateDict();
    target.loadStateDict(saved);
    for (const values of source.state.values()) for (const value of Object.values(values)) value!.dispose();
    const state = target.stateDict();
    assert.deepEqual(numbersOf(state.state[0]!.exp_avg as Tensor), [Math.fround(0.1), Math.fround(0.1)]);
    assert.equal((state.state[1]!.step as Tensor).item(), 1);
    assert.equal(target.paramGroups[1]!.lr, 0.5);
  });

  test('takes the dtype of each parameter, the step counter apart', () => {
    const target = new optim.Adam([
      { params: [new Parameter(zeros([2], { dtype: 'bfloat16' }))] },
      { params: [param(0)] },
    ]);
    target.loadStateDict(trained().stateDict());
    const state = target.stateDict().state[0]!;
    assert.deepEqual(
      [(state.exp_avg as Tensor).dtype, (state.step as Tensor).dtype],
      ['bfloat16', 'float32'],
    );
  });

  test('what does not match is refused, and nothing has changed', () => {
    const saved = trained().stateDict();
    const target = new optim.Adam([{ params: [param(0, 0)] }, { params: [param(0)] }], { lr: 7 });
    const cases: [optim.OptimizerState, string][] = [
      [{ state: {}, param_groups: [] }, 'loaded state dict has a different number of parameter groups'],
      [
        { ...saved, param_groups: [saved.param_groups[0]!, { ...saved.param_groups[1]!, params: [1, 2] }] },
        "loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
      ],
      [
        { ...saved, state: { ...saved.state, 1: { exp_avg: zeros([4]) } } },
        "loaded state 'exp_avg' of parameter 1 has shape [4], expected [1]",
      ],
    ];
    for (const [state, message] of cases) {
      assert.throws(() => target.loadStateDict(state), { name: 'OptimizerError', code: 'VALUE', message });
    }
    assert.deepEqual([target.paramGroups[0]!.lr, target.state.size], [7, 0]);
  });
});

test('wrong options and parameters are refused with the text of PyTorch', () => {
  const p = param(1);
  const cases: [() => unknown, string, string][] = [
    [() => new optim.SGD([]), 'VALUE', 'optimizer got an empty parameter list'],
    [() => new optim.SGD([p], { lr: -0.1 }), 'VALUE', 'Invalid learning rate: -0.1'],
    [() => new optim.SGD([p], { lr: Number.NaN }), 'VALUE', 'Invalid learning rate: NaN'],
    [() => new optim.SGD([p], { momentum: -1 }), 'VALUE', 'Invalid momentum value: -1'],
    [() => new optim.SGD([p], { weightDecay: -1 }), 'VALUE', 'Invalid weight_decay value: -1'],
    [
      () => new optim.SGD([p], { nesterov: true }),
      'VALUE',
      'Nesterov momentum requires a momentum and zero dampening',
    ],
    [() => new optim.Adam([p], { eps: -1 }), 'VALUE', 'Invalid epsilon value: -1'],
    [() => new optim.Adam([p], { betas: [1, 0.9] }), 'VALUE', 'Invalid beta parameter at index 0: 1'],
    [() => new optim.AdamW([p], { betas: [0.9, 1] }), 'VALUE', 'Invalid beta parameter at index 1: 1'],
    [() => new optim.Adam([p], { weightDecay: -0.1 }), 'VALUE', 'Invalid weight_decay value: -0.1'],
    [() => new optim.SGD([p.mul(2)]), 'VALUE', "can't optimize a non-leaf Tensor"],
    [
      () => new optim.SGD([{ params: [p] }, { params: [p] }]),
      'VALUE',
      'some parameters appear in more than one parameter group',
    ],
    [
      () => new optim.SGD(p as unknown as Tensor[]),
      'TYPE',
      'params argument given to the optimizer should be an iterable of Tensors or dicts, but got Tensor',
    ],
    [
      () => new optim.SGD([3] as unknown as Tensor[]),
      'TYPE',
      'optimizer can only optimize Tensors, but one of the params is number',
    ],
  ];
  for (const [make, code, message] of cases) {
    assert.throws(make, { name: 'OptimizerError', code, message });
  }
});

test('a parameter twice in one group warns', () => {
  const heard: Warning[] = [];
  setWarningHandler((warning) => heard.push(warning));
  try {
    const p = param(1);
    new optim.SGD([p, p]);
  } finally {
    setWarningHandler(null);
  }
  assert.deepEqual(heard, [
    {
      code: 'DUPLICATE_PARAMETERS',
      message: 'optimizer contains a parameter group with duplicate parameters',
    },
  ]);
});

describe('200 steps leave no tensor behind', () => {
  for (const [name, options] of Object.entries({ fused: {}, foreach: { foreach: true } })) {
    test(name, () => {
      const params = [new Parameter(zeros([8, 3, 3, 3])), new Parameter(zeros([8]))];
      const optimizers = [
        new optim.SGD(params, { momentum: 0.9, weightDecay: 0.1, ...options }),
        new optim.AdamW(params, { amsgrad: true, ...options }),
      ];
      const step = () =>
        scope(() => {
          for (const p of params) p.grad = ones(p.shape);
          for (const optimizer of optimizers) {
            optimizer.step();
            optimizer.zeroGrad({ setToNone: optimizer === optimizers[1] });
          }
        });
      for (let i = 0; i < 3; i++) step();
      memory.collectGarbage();
      const before = memory.stats();
      for (let i = 0; i < 200; i++) step();
      const after = memory.stats();
      assertNothingLeft(before, after);
    });
  }
});

test('the step on CUDA', { skip: cuda.isAvailable() ? false : 'needs a CUDA device' }, () => {
  const host = param(1, 2, 3);
  const device = new Parameter(tensor([1, 2, 3], { device: 'cuda' }));
  const [a, b] = [new optim.AdamW([host]), new optim.AdamW([device])];
  host.grad = tensor([1, -1, 0.5]);
  device.grad = host.grad.cuda();
  for (let i = 0; i < 3; i++) for (const optimizer of [a, b]) optimizer.step();
  assert.equal(device.cpu().sub(host).abs().max().lt(1e-6).item(), true);
  assert.equal((b.state.get(device)!.step as Tensor).device, 'cuda:0');
});
