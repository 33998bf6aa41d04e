import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type amp,
  autocast,
  GradScaler,
  grad,
  memory,
  nn,
  noGrad,
  optim,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { assertNothingLeft } from './assert-memory.ts';
import { assertNear, batches, forward, gradsOf, lossOf, model, stateOf } from './two-layers.ts';

const { Parameter } = nn;

type Make = (params: Tensor[]) => optim.Optimizer;

const FLAVOURS: Record<string, Make> = {
  'SGD foreach': (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, foreach: true }),
  'SGD automatic': (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9 }),
  'SGD fused': (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, fused: true }),
  'Adam foreach': (p) => new optim.Adam(p, { lr: 0.01, foreach: true }),
  'Adam automatic': (p) => new optim.Adam(p, { lr: 0.01 }),
  'Adam fused': (p) => new optim.Adam(p, { lr: 0.01, fused: true }),
  'AdamW fused': (p) => new optim.AdamW(p, { lr: 0.01, fused: true, amsgrad: true }),
};

describe('four batches in fp16 with an overflow in the third follow the fp32 run', () => {
  for (const [name, make] of Object.entries(FLAVOURS)) {
    for (const enabled of [true, false]) {
      test(`G2: ${name}, ${enabled ? 'scaler on, rebuilt from its state every iteration' : 'scaler off'}`, () => {
        const [plain, scaled] = [model(), model()];
        const [control, optimizer] = [make(plain), make(scaled)];
        const config = { device: 'cpu', initScale: 128, growthInterval: 1, enabled } as const;
        let scaler = new GradScaler(config);
        batches(4).forEach(([x, y], i) => {
          control.zeroGrad();
          lossOf(plain, x, y).backward();
          if (i !== 2 || !enabled) control.step();

          optimizer.zeroGrad();
          const loss = autocast({ device: 'cpu', dtype: 'float16', enabled }, () => lossOf(scaled, x, y));
          scaler.scale(loss).backward();
          if (i === 2 && enabled) scaled[0]!.grad!.put([0, 0], Number.POSITIVE_INFINITY);
          if (enabled) scaler.unscale_(optimizer);
          if (i !== 2) assertNear(gradsOf(scaled), gradsOf(plain), 5e-3);
          scaler.step(optimizer);
          scaler.update();
          const saved = JSON.parse(JSON.stringify(scaler.stateDict())) as amp.GradScalerState;
          scaler = new GradScaler(config);
          scaler.loadStateDict(saved);
        });
        assert.equal(scaler.getScale(), enabled ? 128 * 2 ** 3 * 0.5 : 1);
        assertNear(scaled, plain, 5e-3);
        assertNear(stateOf(optimizer), stateOf(control), 5e-3);
      });
    }
  }
});

describe('a fused optimizer under the scaler does what the plain one does', () => {
  for (const amsgrad of [false, true]) {
    for (const explicit of [false, true]) {
      for (const kind of ['Adam', 'AdamW', 'SGD'] as const) {
        test(`G3: ${kind}, amsgrad ${amsgrad}, unscale_ ${explicit ? 'called' : 'left to step'}`, () => {
          const make = (p: Tensor[], fused: boolean) =>
            kind === 'SGD'
              ? new optim.SGD(p, { lr: 0.1, momentum: 0.9, nesterov: amsgrad, fused })
              : new optim[kind](p, { lr: 0.01, weightDecay: 0.1, amsgrad, fused });
          const runs = [true, false].map((fused) => {
            const params = model();
            const optimizer = make(params, fused);
            const scaler = new GradScaler({ device: 'cpu', initScale: 64, growthInterval: 2 });
            const losses: Tensor[] = [];
            let gradients: Tensor[] = [];
            batches(5).forEach(([x, y], i) => {
              optimizer.zeroGrad();
              losses.push(lossOf(params, x, y));
              scaler.scale(losses.at(-1)!).backward();
              if (i === 0 || i === 3) params[1]!.grad!.put([1, 1], Number.NaN);
              if (explicit) {
                scaler.unscale_(optimizer);
                if (i === 2) gradients = gradsOf(params).map((grad) => grad.clone());
              }
              scaler.step(optimizer);
              assert.equal(scaler.skipped(optimizer), fused ? null : i === 0 || i === 3);
              scaler.update();
              assert.deepEqual([optimizer.gradScale, optimizer.foundInf], [undefined, undefined]);
            });
            return { params, losses, gradients, state: stateOf(optimizer), scale: scaler.getScale() };
          });
          const [fused, plain] = runs;
          assertNear(fused!.params, plain!.params, 1e-6);
          assertNear(fused!.state, plain!.state, 1e-6);
          assertNear(fused!.losses, plain!.losses, 1e-6);
          assertNear(fused!.gradients, plain!.gradients, 1e-6);
          assert.equal(fused!.scale, plain!.scale);
        });
      }
    }
  }

  test('G3: also when strides keep the fused kernel from being used', () => {
    const runs = [true, false].map((fused) => {
      const param = new Parameter(
        tensor([
          [1, 2],
          [3, 4],
        ]),
      );
      const optimizer = new optim.Adam([param], { lr: 0.1, fused });
      const scaler = new GradScaler({ device: 'cpu', initScale: 8 });
      for (const bad of [false, true, false]) {
        scaler.scale(zeros([]));
        param.grad = tensor([
          [8, 16],
          [bad ? Number.POSITIVE_INFINITY : 4, 2],
        ]).transpose(0, 1);
        scaler.step(optimizer);
        scaler.update(8);
      }
      return numbersOf(param);
    });
    assert.equal(
      runs[0]!.every((value, i) => Math.abs(value - runs[1]![i]!) < 1e-6),
      true,
    );
    assert.notDeepEqual(runs[0], [1, 2, 3, 4]);
  });
});

describe('gradients broken between unscale_ and step are not seen: the weights break', () => {
  for (const [name, make] of Object.entries(FLAVOURS)) {
    test(`G4: ${name}`, () => {
      const params = model();
      const optimizer = make(params);
      const scaler = new GradScaler({ device: 'cpu', initScale: 128 });
      const [[x, y]] = batches(1) as [[Tensor, Tensor]];
      scaler.scale(lossOf(params, x, y)).backward();
      scaler.unscale_(optimizer);
      for (const param of params) param.grad!.fill_(Number.POSITIVE_INFINITY);
      scaler.step(optimizer);
      scaler.update();
      for (const param of params) assert.equal(param.isfinite().any().item(), false);
    });
  }
});

test('G1: the state survives a round trip before and after the first scale', () => {
  const saved = {
    scale: 4,
    growth_factor: 3,
    backoff_factor: 0.25,
    growth_interval: 7,
    _growth_tracker: 2,
  };
  for (const lazy of [true, false]) {
    const scaler = new GradScaler({ device: 'cpu' });
    if (!lazy) scaler.scale(zeros([]));
    scaler.loadStateDict(saved);
    assert.deepEqual(scaler.stateDict(), saved);
    scaler.scale(zeros([]));
    assert.deepEqual(scaler.stateDict(), saved);
    assert.deepEqual(
      [scaler.getGrowthFactor(), scaler.getBackoffFactor(), scaler.getGrowthInterval()],
      [3, 0.25, 7],
    );
  }
});

test('G5: clipping scaled gradients at maxNorm times the scale equals clipping plain ones', () => {
  const [plain, scaled] = [model(), model()];
  const [control, optimizer] = [FLAVOURS['SGD foreach']!(plain), FLAVOURS['SGD foreach']!(scaled)];
  const scaler = new GradScaler({ device: 'cpu', initScale: 256 });
  for (const [x, y] of batches(3)) {
    control.zeroGrad();
    lossOf(plain, x, y).backward();
    nn.utils.clipGradNorm_(plain, 0.2);
    control.step();
    optimizer.zeroGrad();
    scaler.scale(lossOf(scaled, x, y)).backward();
    nn.utils.clipGradNorm_(scaled, 0.2 * scaler.getScale());
    scaler.step(optimizer);
    scaler.update();
  }
  assertNear(scaled, plain, 1e-5);
});

test('G7: a gradient penalty with double backward', () => {
  const run = (scaler: GradScaler) => {
    const params = model();
    const optimizer = FLAVOURS['SGD foreach']!(params);
    for (const [x, y] of batches(3)) {
      optimizer.zeroGrad();
      const loss = autocast({ device: 'cpu', enabled: false }, () => lossOf(params, x, y));
      const inverse = 1 / scaler.getScale();
      const grads = grad(scaler.scale(loss), params, { createGraph: true }).map((g) => g.mul(inverse));
      const penalty = grads.map((g) => g.square().sum()).reduce((sum, term) => sum.add(term));
      scaler.scale(loss.add(penalty.sqrt())).backward();
      scaler.unscale_(optimizer);
      scaler.step(optimizer);
      scaler.update();
    }
    return params;
  };
  const scaled = run(new GradScaler({ device: 'cpu', initScale: 128, growthInterval: 1 }));
  assertNear(scaled, run(new GradScaler({ enabled: false })), 1e-5);
});

test('G8: two micro-batches per step: the scale holds within a step and grows between them', () => {
  const [plain, scaled] = [model(), model()];
  const [control, optimizer] = [FLAVOURS['SGD foreach']!(plain), FLAVOURS['SGD foreach']!(scaled)];
  const scaler = new GradScaler({ device: 'cpu', initScale: 32, growthInterval: 1 });
  batches(4).forEach(([x, y], i) => {
    lossOf(plain, x, y).div(2).backward();
    scaler.scale(lossOf(scaled, x, y).div(2)).backward();
    if (i % 2 === 0) return;
    control.step();
    control.zeroGrad();
    scaler.step(optimizer);
    scaler.update();
    optimizer.zeroGrad();
  });
  assert.equal(scaler.getScale(), 128);
  assertNear(scaled, plain, 1e-5);
});

test('G9: two models, optimizers and losses: one skips, the other steps, the scale backs off once', () => {
  const [first, second] = [model(), model()];
  const [a, b] = [FLAVOURS['SGD foreach']!(first), FLAVOURS['Adam foreach']!(second)];
  const before = { first: first.map((p) => p.clone()), second: second.map((p) => p.clone()) };
  const scaler = new GradScaler({ device: 'cpu', initScale: 128 });
  const [[x, y]] = batches(1) as [[Tensor, Tensor]];
  const outputs = [forward(first, x), forward(second, x)] as const;
  const losses = [
    outputs[0].add(outputs[1]).sub(y).square().mean(),
    outputs[0].sub(outputs[1]).square().mean(),
  ];
  for (const loss of scaler.scale(losses)) loss.backward({ retainGraph: true });
  second[0]!.grad!.put([0, 0], Number.POSITIVE_INFINITY);
  scaler.unscale_(a);
  scaler.step(a);
  scaler.step(b);
  scaler.update();
  assert.deepEqual([scaler.skipped(a), scaler.skipped(b)], [false, true]);
  assert.equal(scaler.getScale(), 64);
  assert.equal(
    first.some((param, i) => param.equal(before.first[i]!)),
    false,
  );
  assert.equal(
    second.every((param, i) => param.equal(before.second[i]!)),
    true,
  );
});

test('fp16 gradients too small without a scale arrive with one', () => {
  const weight = () => new Parameter(tensor([[1]], { dtype: 'float32' }));
  const x = tensor([[2 ** -20]]);
  const loss = (w: Tensor) =>
    autocast({ device: 'cpu', dtype: 'float16' }, () => x.matmul(w).mul(2 ** -6))
      .float()
      .sum();
  const [lost, kept] = [weight(), weight()];
  loss(lost).backward();
  assert.equal(lost.grad!.item(), 0);
  const scaler = new GradScaler({ device: 'cpu', initScale: 1024 });
  const optimizer = new optim.SGD([kept]);
  scaler.scale(loss(kept)).backward();
  scaler.unscale_(optimizer);
  assert.equal(kept.grad!.item(), 2 ** -26);
});

test('100 scaled steps leave no tensor behind', () => {
  const params = model();
  const optimizer = new optim.AdamW(params);
  const scaler = new GradScaler({ device: 'cpu', growthInterval: 3 });
  const data = batches(1)[0]!;
  const step = () =>
    scope(() => {
      optimizer.zeroGrad();
      const loss = autocast({ device: 'cpu', dtype: 'float16' }, () => lossOf(params, ...data));
      scaler.scale(loss).backward();
      scaler.unscale_(optimizer);
      nn.utils.clipGradNorm_(params, 1);
      scaler.step(optimizer);
      scaler.update();
    });
  for (let i = 0; i < 5; i++) step();
  memory.collectGarbage();
  const before = memory.stats();
  for (let i = 0; i < 100; i++) step();
  const after = memory.stats();
  assertNothingLeft(before, after);
  assert.equal(
    noGrad(() => params.every((param) => param.isfinite().all().item() === true)),
    true,
  );
});
