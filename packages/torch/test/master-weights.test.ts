import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  cuda,
  type DType,
  GradScaler,
  manualSeed,
  memory,
  nn,
  optim,
  randn,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { assertNothingLeft } from './assert-memory.ts';

const { Parameter } = nn;

type Low = 'bfloat16' | 'float16';
type Options = { masterWeights?: boolean; foreach?: boolean; fused?: boolean };
type Make = (params: Tensor[], options: Options) => optim.Optimizer;

const MAKERS: Record<string, Make> = {
  SGD: (p, options) => new optim.SGD(p, { lr: 0.01, momentum: 0.9, nesterov: true, ...options }),
  AdamW: (p, options) => new optim.AdamW(p, { lr: 0.01, amsgrad: true, ...options }),
};

const KERNELS: Record<string, Options> = {
  automatic: {},
  foreach: { foreach: true },
  fused: { fused: true },
};

const masterOf = (optimizer: optim.Optimizer, param: Tensor): Tensor =>
  optimizer.state.get(param)!.masterParam!;

/** Mean square error of a linear model that starts at 1 and should end at 1.25. */
class Regression extends nn.Module {
  readonly layer = new nn.Linear(16, 1, { bias: false });

  constructor() {
    super();
    this.layer.weight.detach().fill_(1);
  }

  override forward(x: Tensor): Tensor {
    return this.layer.forward(x);
  }
}

function train(dtype: DType, options: Options, device = 'cpu') {
  manualSeed(3);
  const model = new Regression().to({ dtype, device });
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.004, ...options });
  for (let i = 0; i < 1000; i++) {
    scope(() => {
      const x = randn([32, 16]).to(device);
      const y = x.mul(1.25).sum([1]).unsqueeze(1);
      optimizer.zeroGrad();
      nn.functional.mseLoss(model.forward(x.to(dtype)).float(), y).backward();
      optimizer.step();
    });
  }
  const [weight] = model.parameters() as [Tensor];
  const trained = options.masterWeights ? masterOf(optimizer, weight) : weight.float();
  return trained.sub(1.25).square().mean().item() as number;
}

describe('a model in bfloat16', () => {
  test('reaches the fp32 result with master weights, and stalls without', () => {
    const start = 0.25 ** 2;
    const [full, masters, alone] = [
      train('float32', {}),
      train('bfloat16', { masterWeights: true }),
      train('bfloat16', {}),
    ];
    assert.ok(full < 1e-6 * start, `float32 ends at ${full}`);
    assert.ok(masters < 1e-3 * start, `masters end at ${masters}`);
    assert.ok(alone > 0.1 * start, `bfloat16 alone ends at ${alone}`);
  });

  test('does so on CUDA', { skip: cuda.isAvailable() ? false : 'needs a CUDA device' }, () => {
    const masters = train('bfloat16', { masterWeights: true }, 'cuda');
    assert.ok(masters < 1e-3 * 0.25 ** 2, `masters end at ${masters}`);
  });
});

describe('the masters are what a float32 optimizer makes of the same gradients', () => {
  for (const [name, make] of Object.entries(MAKERS)) {
    for (const [kernel, options] of Object.entries(KERNELS)) {
      for (const low of ['bfloat16', 'float16'] as const) {
        test(`${name}, ${kernel}, ${low}`, () => {
          manualSeed(4);
          const start = [randn([4, 3]), randn([5])].map((t) => t.to(low));
          const params = start.map((t) => new Parameter(t.clone()));
          const controls = start.map((t) => new Parameter(t.float()));
          const optimizer = make(params, { ...options, masterWeights: true });
          const control = make(controls, options);
          for (let i = 0; i < 3; i++) {
            params.forEach((param, j) => {
              param.grad = randn(param.shape).to(low);
              controls[j]!.grad = param.grad.float();
            });
            optimizer.step();
            control.step();
          }
          params.forEach((param, j) => {
            const master = masterOf(optimizer, param);
            assert.equal(master.dtype, 'float32');
            assert.equal(master.equal(controls[j]!), true);
            assert.equal(param.equal(master.to(low)), true);
            assert.equal(param.dtype, low);
          });
        });
      }
    }
  }
});

test('float32 parameters of such a group get no master', () => {
  const [full, low] = [new Parameter(zeros([2])), new Parameter(zeros([2], { dtype: 'bfloat16' }))];
  const optimizer = new optim.SGD([full, low], { lr: 1, masterWeights: true });
  for (const param of [full, low]) param.grad = tensor([1, 2]).to(param.dtype);
  optimizer.step();
  assert.deepEqual(
    [optimizer.state.get(full), Object.keys(optimizer.state.get(low)!)],
    [undefined, ['masterParam']],
  );
  assert.deepEqual(
    [numbersOf(full), numbersOf(low)],
    [
      [-1, -2],
      [-1, -2],
    ],
  );
});

describe('state', () => {
  const step = (optimizer: optim.Optimizer, param: Tensor, seed: number) => {
    manualSeed(seed);
    param.grad = randn(param.shape).to(param.dtype);
    optimizer.step();
  };

  for (const [name, make] of Object.entries(MAKERS)) {
    test(`${name}: masters are saved, and a loaded optimizer goes on bit for bit`, () => {
      const param = new Parameter(randn([6]).bfloat16());
      const optimizer = make([param], { masterWeights: true });
      for (let i = 0; i < 3; i++) step(optimizer, param, i);
      const saved = optimizer.stateDict();
      assert.equal(saved.param_groups[0]!.master_weights, true);
      assert.equal((saved.state[0]!.master_param as Tensor).dtype, 'float32');

      const resumed = new Parameter(param.clone());
      const loaded = make([resumed], {});
      loaded.loadStateDict(saved);
      for (const [key, value] of Object.entries(loaded.stateDict().state[0]!)) {
        assert.equal((value as Tensor).equal(saved.state[0]![key] as Tensor), true, key);
      }
      step(optimizer, param, 9);
      step(loaded, resumed, 9);
      assert.equal(masterOf(loaded, resumed).equal(masterOf(optimizer, param)), true);
      assert.equal(resumed.equal(param), true);
    });
  }
});

describe('under a GradScaler', () => {
  function scaled(low: Low, options: Options) {
    const param = new Parameter(tensor([1, 2]).to(low));
    const optimizer = new optim.SGD([param], { lr: 1, masterWeights: true, ...options });
    const scaler = new GradScaler({ device: 'cpu', initScale: 4 });
    const step = (...grad: number[]) => {
      scaler.scale(zeros([]));
      param.grad = tensor(grad).to(low);
      scaler.step(optimizer);
      scaler.update();
      return numbersOf(masterOf(optimizer, param));
    };
    return { step, scaler };
  }

  test('a fused optimizer unscales fp16 gradients into the masters, and skips overflows', () => {
    const { step, scaler } = scaled('float16', { fused: true });
    assert.deepEqual(step(2, 4), [0.5, 1]);
    assert.deepEqual(step(1, Number.POSITIVE_INFINITY), [0.5, 1]);
    assert.equal(scaler.getScale(), 2);
    assert.deepEqual(step(1, 1), [0, 0.5]);
  });

  test('bf16 gradients are unscaled where they are', () => {
    const { step } = scaled('bfloat16', {});
    assert.deepEqual(step(2, 4), [0.5, 1]);
    assert.deepEqual(step(Number.NaN, 4), [0.5, 1]);
  });

  test('fp16 gradients of a plain optimizer are refused with the way out', () => {
    assert.throws(() => scaled('float16', {}).step(1, 1), {
      name: 'AmpError',
      code: 'VALUE',
      message: 'Attempting to unscale FP16 gradients.',
      hint:
        'keep the parameters in float32 and let autocast cast them; or convert the model to bfloat16, ' +
        'which needs no scaler',
    });
  });
});

test('100 steps leave no tensor behind', () => {
  const param = new Parameter(zeros([64], { dtype: 'bfloat16' }));
  const optimizer = new optim.AdamW([param], { masterWeights: true });
  const step = () =>
    scope(() => {
      param.grad = randn([64]).bfloat16();
      optimizer.step();
    });
  for (let i = 0; i < 3; i++) step();
  memory.collectGarbage();
  const before = memory.stats();
  for (let i = 0; i < 100; i++) step();
  assertNothingLeft(before, memory.stats());
});
