import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { unscaleGrads } from '../src/amp/unscale-grads.ts';
import {
  autocast,
  cuda,
  full,
  GradScaler,
  grad,
  nn,
  noGrad,
  ops,
  optim,
  type Tensor,
  tensor,
  type Warning,
  zeros,
} from '../src/index.ts';
import { heardDuring } from './heard-during.ts';
import { assertNear, batches, gradsOf, lossOf, model, stateOf } from './two-layers.ts';

const { Parameter } = nn;

type Make = (params: Tensor[]) => optim.Optimizer;

const sgd: Make = (params) => new optim.SGD(params, { lr: 0.1, momentum: 0.9, foreach: true });

const copies = (params: readonly Tensor[]) => params.map((param) => param.clone());

const allEqual = (a: readonly Tensor[], b: readonly Tensor[]) => a.every((t, i) => t.equal(b[i]!));

test('K3: inputs 5, 20000, 5, 40000 to an fp16 weight: gradients 20, inf, 10, inf; scale 4, 2, 2, 1', () => {
  const weight = new Parameter(tensor([1], { dtype: 'float16' }));
  const optimizer = new optim.SGD([weight], { lr: 0.1, fused: true, masterWeights: true });
  const scaler = new GradScaler({ device: 'cpu', initScale: 4, growthInterval: 2 });
  const trace = [5, 20000, 5, 40000].map((input) => {
    optimizer.zeroGrad();
    scaler.scale(weight.mul(tensor([input], { dtype: 'float16' })).sum()).backward();
    const gradient = weight.grad!.item();
    scaler.step(optimizer);
    scaler.update();
    return [gradient, scaler.getScale(), scaler.getGrowthTracker()];
  });
  assert.deepEqual(trace, [
    [20, 4, 1],
    [Number.POSITIVE_INFINITY, 2, 0],
    [10, 2, 1],
    [Number.POSITIVE_INFINITY, 1, 0],
  ]);
});

test('G6: unscale_ and clipping follow the fp32 run; an infinite norm is tolerated and the step left out', () => {
  const [plain, scaled] = [model(), model()];
  const [control, optimizer] = [sgd(plain), sgd(scaled)];
  const scaler = new GradScaler({ device: 'cpu', initScale: 128, growthInterval: 1 });
  batches(4).forEach(([x, y], i) => {
    control.zeroGrad();
    lossOf(plain, x, y).backward();
    nn.utils.clipGradNorm_(plain, 0.2);
    if (i !== 2) control.step();

    optimizer.zeroGrad();
    const loss = autocast({ device: 'cpu', dtype: 'float16' }, () => lossOf(scaled, x, y));
    scaler.scale(loss).backward();
    if (i === 2) scaled[0]!.grad!.put([0, 0], Number.POSITIVE_INFINITY);
    scaler.unscale_(optimizer);
    const norm = nn.utils.clipGradNorm_(scaled, 0.2).item() as number;
    assert.equal(Number.isFinite(norm), i !== 2);
    const before = copies(scaled);
    scaler.step(optimizer);
    scaler.update();
    assert.equal(scaler.skipped(optimizer), i === 2);
    assert.equal(allEqual(before, scaled), i === 2);
  });
  assert.equal(scaler.getScale(), 128 * 2 ** 3 * 0.5);
  assertNear(scaled, plain, 5e-3);
});

test('G7: a gradient penalty from an fp16 forward pass', () => {
  const params = model();
  const plain = model();
  const [optimizer, control] = [sgd(params), sgd(plain)];
  const scaler = new GradScaler({ device: 'cpu', initScale: 64, growthInterval: 1 });
  const norm = (grads: readonly Tensor[]) =>
    grads
      .map((g) => g.square().sum())
      .reduce((sum, term) => sum.add(term))
      .sqrt();
  for (const [x, y] of batches(3)) {
    control.zeroGrad();
    const loss = lossOf(plain, x, y);
    loss.add(norm(gradsOfLoss(loss, plain))).backward();
    control.step();

    optimizer.zeroGrad();
    const low = autocast({ device: 'cpu', dtype: 'float16' }, () => lossOf(params, x, y));
    const inverse = 1 / scaler.getScale();
    const grads = gradsOfLoss(scaler.scale(low), params).map((g) => g.mul(inverse));
    const total = autocast({ device: 'cpu', dtype: 'float16' }, () => low.add(norm(grads)));
    scaler.scale(total).backward();
    scaler.step(optimizer);
    scaler.update();
    assert.equal(scaler.skipped(optimizer), false);
  }
  assertNear(params, plain, 1e-2);
});

const gradsOfLoss = (loss: Tensor, params: Tensor[]) => grad(loss, params, { createGraph: true });

describe('devices', () => {
  test('G11: one device under two names is one flag and one copy of the scale', () => {
    const params = ['cpu', 'cpu:0'].map((device) => new Parameter(zeros([2], { device })));
    for (const param of params) param.grad = tensor([4, 8]);
    const flags = unscaleGrads(new optim.SGD(params), () => full([], 0.25), false);
    assert.deepEqual([...flags.keys()], ['cpu']);
    assert.deepEqual(
      params.map((param) => Array.from(param.grad!.toTypedArray() as Float32Array)),
      [
        [1, 2],
        [1, 2],
      ],
    );
  });

  test('G11: also on CUDA', { skip: cuda.isAvailable() ? false : 'needs a CUDA device' }, () => {
    const params = ['cuda', 'cuda:0'].map((device) => new Parameter(zeros([2], { device })));
    for (const param of params) param.grad = full([2], 4, { device: 'cuda' });
    const flags = unscaleGrads(new optim.SGD(params), () => full([], 0.25, { device: 'cuda:0' }), false);
    assert.deepEqual([...flags.keys()], ['cuda:0']);
  });
});

test('G15: an optimizer without any gradient is an error, not a step', () => {
  const param = new Parameter(tensor([1, 2]));
  let steps = 0;
  class Counting extends optim.SGD {
    override step<R = undefined>(closure?: () => R): R | undefined {
      steps += 1;
      return super.step(closure);
    }
  }
  const optimizer = new Counting([param]);
  const scaler = new GradScaler({ device: 'cpu' });
  scaler.scale(zeros([]));
  assert.throws(() => scaler.step(optimizer), {
    name: 'AmpError',
    code: 'ASSERTION',
    message: 'No inf checks were recorded for this optimizer.',
  });
  assert.throws(() => scaler.update(), {
    name: 'AmpError',
    code: 'ASSERTION',
    message: 'No inf checks were recorded prior to update.',
  });
  assert.equal(steps, 0);
});

/** Ranks in one process: each has its model, its half of the batch and its scaler; gradients are averaged. */
function replicas(count: number) {
  return Array.from({ length: count }, () => {
    const params = model();
    const optimizer = sgd(params);
    const scaler = new GradScaler({ device: 'cpu', initScale: 64, growthInterval: 100 });
    return { params, optimizer, scaler };
  });
}

test('G16: an overflow on one of two replicas whose gradients are averaged skips the step of both', () => {
  const ranks = replicas(2);
  batches(3).forEach(([x, y], i) => {
    ranks.forEach(({ params, optimizer, scaler }, rank) => {
      optimizer.zeroGrad();
      scaler.scale(lossOf(params, x.narrow(0, 8 * rank, 8), y.narrow(0, 8 * rank, 8))).backward();
    });
    if (i === 1) ranks[1]!.params[0]!.grad!.put([0, 0], Number.POSITIVE_INFINITY);
    const [first, second] = ranks.map(({ params }) => gradsOf(params)) as [Tensor[], Tensor[]];
    noGrad(() => {
      ops._foreach_add_(first, second);
      ops._foreach_mul_(first, 0.5);
      ops._foreach_copy_(second, first);
    });
    for (const { params, optimizer, scaler } of ranks) {
      const before = copies(params);
      scaler.step(optimizer);
      scaler.update();
      assert.equal(scaler.skipped(optimizer), i === 1);
      assert.equal(allEqual(before, params), i === 1);
    }
  });
  assert.deepEqual(
    ranks.map(({ scaler }) => scaler.getScale()),
    [32, 32],
  );
  assert.equal(allEqual(ranks[0]!.params, ranks[1]!.params), true);
});

test('G18: batches without a loss call nothing: 5 batches, 3 of each call, and the weights of those 3', () => {
  const calls = { unscale: 0, step: 0, update: 0 };
  class Counting extends GradScaler {
    override unscale_(optimizer: optim.Optimizer): void {
      calls.unscale += 1;
      super.unscale_(optimizer);
    }

    override step<A extends unknown[], R>(optimizer: optim.Optimizer & { step(...args: A): R }, ...args: A) {
      calls.step += 1;
      return super.step(optimizer, ...args);
    }

    override update(): void {
      calls.update += 1;
      super.update();
    }
  }
  const all = batches(5);
  const withLoss = [true, false, true, false, true];
  const run = (scaler: GradScaler, chosen: readonly [Tensor, Tensor][], has: readonly boolean[]) => {
    const params = model();
    const optimizer = sgd(params);
    chosen.forEach(([x, y], i) => {
      optimizer.zeroGrad();
      // The scaled loss that is then dropped must leave nothing behind in the scaler.
      const loss = scaler.scale(lossOf(params, x, y));
      if (!has[i]) return;
      loss.backward();
      scaler.step(optimizer);
      scaler.update();
    });
    return [...params, ...stateOf(optimizer)];
  };
  const scaler = new Counting({ device: 'cpu', initScale: 64 });
  const ended = run(scaler, all, withLoss);
  assert.deepEqual(calls, { unscale: 3, step: 3, update: 3 });
  assert.equal(scaler.getGrowthTracker(), 3);
  const three = all.filter((_, i) => withLoss[i]);
  const expected = run(new GradScaler({ device: 'cpu', initScale: 64 }), three, [true, true, true]);
  assert.equal(allEqual(ended, expected), true);
});

describe('an optimizer that unscales by itself, and bfloat16', () => {
  test('G19: clipping is right after unscale_, with a fused optimizer as with a plain one', () => {
    const [fused, plain] = [true, false].map((on) => {
      const params = model();
      const optimizer = new optim.AdamW(params, { lr: 0.01, fused: on, foreach: !on });
      assert.equal(optimizer.stepSupportsAmpScaling, on);
      const scaler = new GradScaler({ device: 'cpu', initScale: 64 });
      const norms = batches(4).map(([x, y]) => {
        optimizer.zeroGrad();
        scaler.scale(lossOf(params, x, y)).backward();
        scaler.unscale_(optimizer);
        const norm = nn.utils.clipGradNorm_(params, 0.1);
        scaler.step(optimizer);
        scaler.update();
        return norm;
      });
      return { params, norms };
    });
    assertNear(fused!.norms, plain!.norms, 1e-6);
    assertNear(fused!.params, plain!.params, 1e-6);
  });

  const note: Warning = {
    code: 'SCALER_NOT_NEEDED',
    message:
      'GradScaler is enabled for a loss computed in bfloat16, which has the exponent range of float32: ' +
      'it is not needed there. Disable it (enabled: false), or use float16.',
  };

  const train = (dtype: 'float16' | 'bfloat16', enabled = true) => {
    const params = model();
    const optimizer = sgd(params);
    const scaler = new GradScaler({ device: 'cpu', initScale: 64, enabled });
    for (const [x, y] of batches(3)) {
      optimizer.zeroGrad();
      scaler.scale(autocast({ device: 'cpu', dtype }, () => lossOf(params, x, y))).backward();
      scaler.step(optimizer);
      scaler.update();
    }
    return params;
  };

  test('G19: a scaler with bfloat16 works, and says once that it is not needed', () => {
    const without = train('bfloat16', false);
    let scaled: Tensor[] = [];
    const heard = heardDuring(() => {
      scaled = train('bfloat16');
    });
    assert.deepEqual(heard, [note]);
    assertNear(scaled, without, 1e-2);
  });

  test('G19: the note is for bfloat16 only: not for float16, a disabled scaler, or a float32 loss', () => {
    const heard = heardDuring(() => {
      train('bfloat16', false);
      train('float16');
      const scaler = new GradScaler({ device: 'cpu' });
      scaler.scale(zeros([]));
      assert.equal(scaler.isEnabled(), true);
    });
    assert.deepEqual(heard, []);
  });

  test('G19: a bfloat16 loss without autocast', () => {
    const heard = heardDuring(() => {
      const scaler = new GradScaler({ device: 'cpu' });
      for (let i = 0; i < 2; i++) scaler.scale(zeros([], { dtype: 'bfloat16' }));
    });
    assert.deepEqual(heard, [note]);
  });
});
