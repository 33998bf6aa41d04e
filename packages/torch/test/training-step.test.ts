import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  autocast,
  full,
  GradScaler,
  keep,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  op,
  optim,
  randn,
  scope,
  type Tensor,
  TrainingStep,
  type TrainingStepOptions,
  type WindowResult,
  zeros,
} from '../src/index.ts';
import { assertNothingLeft } from './assert-memory.ts';
import { collectGarbage } from './collect-garbage.ts';

const INFINITY = Number.POSITIVE_INFINITY;

class Net extends nn.Module {
  conv = new nn.Conv2d(2, 4, 3, { padding: 1 });
  bn = new nn.BatchNorm2d(4);
  head = new nn.Linear(4, 3);
  /** Multiplies the features; not a parameter, so a test can break a forward pass with it. */
  gain = 1;

  override forward(x: Tensor): Tensor {
    const features = this.bn.forward(this.conv.forward(x)).mul(this.gain).relu();
    return this.head.forward(features.mean([2, 3]));
  }
}

class Average {
  updates = 0;
  readonly weights: Tensor[];
  private readonly model: nn.Module;

  constructor(model: nn.Module) {
    this.model = model;
    this.weights = this.sources().map((tensor) => keep(tensor.clone().detach()));
  }

  update(): void {
    this.updates += 1;
    noGrad(() =>
      scope(() => {
        this.sources().forEach((tensor, i) => {
          this.weights[i]!.lerp_(tensor, 1 / (1 + this.updates));
        });
      }),
    );
  }

  private sources(): Tensor[] {
    return Object.values(this.model.stateDict()).filter((tensor) => tensor.isFloatingPoint());
  }
}

type MakeOptimizer = (params: Tensor[]) => optim.Optimizer;

const OPTIMIZERS: Record<string, MakeOptimizer> = {
  'SGD without momentum': (params) => new optim.SGD(params, { lr: 0.1, fused: true }),
  'SGD with momentum': (params) =>
    new optim.SGD(params, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01, fused: true }),
  Adam: (params) => new optim.Adam(params, { lr: 0.01, fused: true }),
  'AdamW, amsgrad': (params) => new optim.AdamW(params, { lr: 0.01, amsgrad: true, fused: true }),
};

function rig(make: MakeOptimizer, options: Partial<TrainingStepOptions> = {}) {
  manualSeed(7);
  const model = new Net();
  const optimizer = make(model.parameters());
  const ema = new Average(model);
  const scheduler = new optim.lrScheduler.ExponentialLR(optimizer, 0.9);
  const sum = keep(zeros([2]));
  const step = new TrainingStep({
    model,
    optimizers: optimizer,
    ema,
    schedulers: [scheduler],
    state: [sum],
    ...options,
  });
  const windows: WindowResult[] = [];
  step.onWindow((window) => {
    windows.push(window);
  });
  const batch = (seed: number, closes?: boolean) =>
    step.run(
      () => {
        manualSeed(seed);
        const loss = model
          .forward(randn([2, 2, 5, 5]))
          .square()
          .mean();
        noGrad(() => sum.add_(loss.detach()));
        return loss;
      },
      closes === undefined ? {} : { closes },
    );
  /** Every bit that a rolled back window must leave alone. */
  const bits = () => ({
    model: Object.fromEntries(Object.entries(model.stateDict()).map(([name, t]) => [name, bytes(t)])),
    ema: [ema.updates, ...ema.weights.map(bytes)],
    optimizer: model
      .parameters()
      .map((param) =>
        Object.entries(optimizer.state.get(param) ?? {}).map(([name, t]) => [name, bytes(t as Tensor)]),
      ),
    schedule: [scheduler.lastEpoch, optimizer.paramGroups[0]!.lr],
    sum: bytes(sum),
    gradients: model.parameters().filter(({ grad }) => grad !== null).length,
  });
  return { model, optimizer, ema, scheduler, sum, step, windows, batch, bits };
}

const bytes = (t: Tensor) =>
  Buffer.from(
    new Uint8Array(
      op('aten::view', 'dtype')(t.detach().contiguous().reshape([-1]), 'uint8').toTypedArray() as Uint8Array,
    ),
  ).toString('hex');

const sgd = OPTIMIZERS['SGD with momentum']!;

describe('a good window', () => {
  for (const scaled of [false, true]) {
    test(`is the plain loop, bit for bit, ${scaled ? 'with' : 'without'} a scaler`, () => {
      for (const make of Object.values(OPTIMIZERS)) {
        const scaler = () => new GradScaler({ device: 'cpu', enabled: scaled, growthInterval: 2 });
        const ours = rig(make, { scaler: scaler(), clip: 0.5, accumulate: 2 });
        for (let i = 0; i < 8; i++) ours.batch(i);

        const plain = rig(make);
        const plainScaler = scaler();
        for (let i = 0; i < 8; i++) {
          manualSeed(i);
          const loss = plain.model
            .forward(randn([2, 2, 5, 5]))
            .square()
            .mean();
          noGrad(() => plain.sum.add_(loss.detach()));
          plainScaler.scale(loss).backward();
          if (i % 2 === 0) continue;
          plainScaler.unscale_(plain.optimizer);
          nn.utils.clipGradNorm_(plain.model.parameters(), 0.5);
          plainScaler.step(plain.optimizer);
          plainScaler.update();
          plain.optimizer.zeroGrad();
          plain.ema.update();
          plain.scheduler.step();
        }
        assert.deepEqual(ours.bits(), plain.bits());
        assert.equal(ours.windows.length, 4);
      }
    });
  }

  test('tells scale, norm and magnitudes', () => {
    const scaler = new GradScaler({ device: 'cpu', initScale: 8 });
    const { batch, model, step } = rig(sgd, { scaler, clip: 1e9 });
    const magnitudes: Record<string, number> = {};
    let norm = 0;
    step.onGradients(() => {
      norm = Math.sqrt(
        model.parameters().reduce((sum, { grad }) => sum + (grad!.square().sum().item() as number), 0),
      );
      for (const [name, { grad }] of model.namedParameters())
        magnitudes[name] = grad!.abs().max().item() as number;
    });
    const result = batch(1);
    assert.equal(result.complete, true);
    assert.equal(result.applied, true);
    assert.equal(result.scale, 8);
    assert.ok(Math.abs(result.norm! - norm) < 1e-6 * norm);
    assert.deepEqual(result.culprits, []);
    assert.equal(result.largest, Math.max(...Object.values(magnitudes)));
  });

  test('the first of two batches leaves the window open', () => {
    const { batch } = rig(sgd, { accumulate: 2 });
    const open = { complete: false, applied: null, scale: null, norm: null, culprits: [], largest: null };
    assert.deepEqual(batch(0), open);
    assert.equal(batch(1).applied, true);
    assert.deepEqual(batch(2, false), open);
    assert.deepEqual(batch(3, false), open);
    assert.equal(batch(4, true).applied, true);
  });
});

/** Ways to break a window, what is named, and how. */
const FAULTS: Record<
  string,
  { culprits: readonly string[]; inject: (r: ReturnType<typeof rig>) => () => void }
> = {
  'an infinite gradient': {
    culprits: ['conv.bias'],
    inject: ({ model, step }) => {
      const hook = step.onGradients(() => model.conv.bias!.grad!.fill_(INFINITY));
      return () => hook.remove();
    },
  },
  'a NaN gradient': {
    culprits: ['head.weight'],
    inject: ({ model, step }) => {
      const hook = step.onGradients(() => model.head.weight.grad!.put([0, 1], Number.NaN));
      return () => hook.remove();
    },
  },
  'an infinity in the forward pass': {
    culprits: ['conv.weight', 'conv.bias', 'bn.weight', 'bn.bias', 'head.weight'],
    inject: ({ model }) => {
      model.gain = INFINITY;
      return () => {
        model.gain = 1;
      };
    },
  },
  'a buffer': {
    culprits: ['bn.running_var'],
    inject: ({ model, step }) => {
      const hook = step.onGradients(() => noGrad(() => model.bn.runningVar!.fill_(Number.NaN)));
      return () => hook.remove();
    },
  },
};

for (const [kind, make] of Object.entries(OPTIMIZERS)) {
  describe(`Y3 a window that is not finite, ${kind}`, () => {
    for (const [fault, { culprits, inject }] of Object.entries(FAULTS)) {
      for (const scaled of [true, false]) {
        for (const deferred of [false, true]) {
          const how = `${scaled ? 'scaled' : 'unscaled'}, ${deferred ? 'deferred' : 'immediate'}`;
          for (const first of [true, false]) {
            test(`${fault} changes nothing (${how}, ${first ? 'first' : 'later'} window)`, () => {
              const scaler = new GradScaler({ device: 'cpu', enabled: scaled, initScale: 64 });
              const r = rig(make, { scaler, deferred, clip: 1 });
              if (!first) for (let i = 0; i < 2; i++) r.batch(i);
              r.step.flush();
              const before = r.bits();
              const heal = inject(r);
              const result = r.batch(10);
              heal();
              assert.deepEqual(r.step.flush()?.applied ?? result.applied, false);
              const told = r.windows.at(-1)!;
              assert.equal(told.applied, false);
              assert.deepEqual(
                told.culprits.filter((name) => culprits.includes(name)).sort(),
                [...culprits].sort(),
              );
              assert.equal(told.scale, scaled ? 64 : null);
              assert.deepEqual(r.bits(), before);
              if (scaled) assert.equal(scaler.getScale(), 32);
              assert.equal(r.step.windows, first ? 1 : 3);
            });
          }
        }
      }
    }
  });
}

describe('a window of two batches', () => {
  for (const bad of [0, 1]) {
    test(`Y3 batch ${bad + 1} alone is not finite: both are taken back`, () => {
      const r = rig(sgd, { accumulate: 2 });
      for (let i = 0; i < 4; i++) r.batch(i);
      const before = r.bits();
      for (let i = 0; i < 2; i++) {
        r.model.gain = i === bad ? INFINITY : 1;
        r.batch(10 + i);
      }
      r.model.gain = 1;
      assert.equal(r.windows.at(-1)!.applied, false);
      assert.deepEqual(r.bits(), before);
      assert.equal(r.batch(20, true).applied, true);
    });
  }

  test('Y10 goes on in its middle after a checkpoint, and takes back to its beginning', () => {
    const whole = rig(sgd, { accumulate: 2 });
    for (let i = 0; i < 3; i++) whole.batch(i);
    const open = whole.step.openWindow()!;
    assert.equal(open.losses.length, 1);

    const resumed = rig(sgd, { accumulate: 2 });
    resumed.model.loadStateDict(whole.model.stateDict());
    resumed.optimizer.loadStateDict(whole.optimizer.stateDict());
    resumed.sum.copy_(whole.sum);
    whole.model.parameters().forEach((param, i) => {
      resumed.model.parameters()[i]!.grad = param.grad!.clone();
    });
    resumed.step.resumeWindow(open);
    const taken = (r: typeof whole) => {
      r.model.gain = INFINITY;
      r.batch(30);
      const { model, sum, gradients } = r.bits();
      return { model, sum, gradients };
    };
    assert.deepEqual(taken(resumed), taken(whole));
    assert.equal(resumed.windows.at(-1)!.applied, false);
  });

  test('no open window between windows', () => {
    const r = rig(sgd);
    r.batch(0);
    assert.equal(r.step.openWindow(), null);
  });
});

describe('the verdict stays on the device', () => {
  for (const [kind, make] of Object.entries(OPTIMIZERS)) {
    test(`${kind}: deferred gives the weights, average and schedule of the immediate mode`, () => {
      const run = (deferred: boolean) => {
        const scaler = new GradScaler({ device: 'cpu', initScale: 4, growthInterval: 3 });
        const r = rig(make, { scaler, deferred, accumulate: 2, clip: 0.5 });
        const unknown = [];
        for (let i = 0; i < 24; i++) {
          r.model.gain = [1, 9, 10, 21].includes(i) ? Number.NaN : 1;
          const { complete, applied } = r.batch(i);
          if (complete) unknown.push(applied === null);
        }
        r.step.flush();
        return { bits: r.bits(), windows: r.windows, scale: scaler.getScale(), unknown };
      };
      const [now, late] = [run(false), run(true)];
      assert.deepEqual(late.bits, now.bits);
      assert.deepEqual(late.windows, now.windows);
      assert.equal(late.scale, now.scale);
      assert.deepEqual(
        now.windows.map(({ applied }) => applied),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((window) => ![0, 4, 5, 10].includes(window)),
      );
      // The first window fails and the second makes the optimizer's state: both are decided by the host.
      assert.deepEqual(late.unknown.slice(0, 3), [false, false, true]);
      assert.ok(late.unknown.slice(2).every((unknown) => unknown));
    });
  }

  test('a checkpoint in an open window waits for the one before', () => {
    const run = (deferred: boolean) => {
      const r = rig(sgd, { deferred, accumulate: 2 });
      for (let i = 0; i < 5; i++) r.batch(i);
      r.step.flush();
      return r.bits();
    };
    assert.deepEqual(run(true), run(false));
  });

  test('refused where optimizers decide on the host', () => {
    const model = new Net();
    const optimizers = new optim.SGD(model.parameters());
    assert.throws(() => new TrainingStep({ model, optimizers, deferred: true }), {
      name: 'AmpError',
      code: 'VALUE',
      message: 'TrainingStep: deferred needs optimizers and a loss scale that decide on the device',
      hint: "make the optimizers with fused: true and keep the scaler's default rule, or leave deferred out",
    });
  });
});

test('several optimizers step together or not at all', () => {
  const model = new Net();
  const [body, head] = [
    new optim.SGD([...model.conv.parameters(), ...model.bn.parameters()], { lr: 0.1 }),
    new optim.Adam(model.head.parameters(), { lr: 0.1 }),
  ];
  const scaler = new GradScaler({ device: 'cpu', initScale: 16 });
  const step = new TrainingStep({ model, optimizers: [body, head], scaler });
  const weights = () => model.parameters().map(bytes);
  const batch = () => step.run(() => model.forward(ones([2, 2, 4, 4])).sum());
  const before = weights();
  const hook = step.onGradients(() => model.head.weight.grad!.fill_(Number.NaN));
  assert.deepEqual(batch().culprits, ['head.weight']);
  hook.remove();
  assert.deepEqual(weights(), before);
  assert.deepEqual([body.state.size, head.state.size, scaler.getScale()], [0, 0, 8]);
  assert.deepEqual([scaler.skipped(body), scaler.skipped(head)], [true, true]);
  assert.equal(batch().applied, true);
  assert.ok(weights().every((value, i) => value !== before[i] || model.parameters()[i] === model.conv.bias));
  assert.deepEqual([scaler.skipped(body), scaler.skipped(head)], [false, false]);
});

test('a parameter that only an optimizer knows is named by its place there', () => {
  const model = new Net();
  const extra = new nn.Parameter(ones([1]));
  const optimizers = [new optim.SGD(model.parameters()), new optim.SGD([{ params: [extra] }])];
  const step = new TrainingStep({ model, optimizers });
  step.onGradients(() => extra.grad!.fill_(INFINITY));
  const { culprits } = step.run(() =>
    model
      .forward(ones([2, 2, 4, 4]))
      .sum()
      .mul(extra),
  );
  assert.deepEqual(culprits, ['optimizers.1.paramGroups.0.params.0']);
});

test("only the loss is not finite: 'loss' is named", () => {
  const r = rig(sgd);
  const before = r.bits();
  const result = r.step.run(() =>
    r.model
      .forward(ones([2, 2, 4, 4]))
      .sum()
      .add(INFINITY),
  );
  assert.deepEqual([result.applied, result.culprits], [false, ['loss']]);
  assert.deepEqual(r.bits(), before);
});

test('a buffer that held infinities from the beginning is no culprit', () => {
  const model = new Net();
  model.registerBuffer('mask', full([2], -INFINITY));
  const step = new TrainingStep({ model, optimizers: sgd(model.parameters()) });
  assert.equal(step.run(() => model.forward(ones([2, 2, 4, 4])).sum()).applied, true);
});

test('a module that puts a new tensor in place of a buffer gets the old value back', () => {
  class Counter extends nn.Module {
    weight = new nn.Parameter(ones([1]));
    declare seen: Tensor;
    constructor() {
      super();
      this.registerBuffer('seen', zeros([1]));
    }
    override forward(x: number): Tensor {
      this.seen = this.seen.add(x);
      return this.weight.mul(this.seen);
    }
  }
  const model = new Counter();
  const step = new TrainingStep({ model, optimizers: new optim.SGD(model.parameters()) });
  step.run(() => model.forward(2));
  assert.equal(model.seen.item(), 2);
  assert.equal(step.run(() => model.forward(INFINITY)).applied, false);
  assert.equal(model.seen.item(), 2);
});

test('whatever is thrown, the open window is rolled back', () => {
  const r = rig(sgd, { accumulate: 2 });
  for (let i = 0; i < 2; i++) r.batch(i);
  const before = r.bits();
  r.batch(2);
  assert.throws(
    () =>
      r.step.run(() => {
        r.model.forward(ones([2, 2, 4, 4]));
        r.sum.fill_(3);
        throw new Error('the disk is full');
      }),
    { message: 'the disk is full' },
  );
  assert.deepEqual(r.bits(), before);
  assert.equal(r.step.windows, 1);
});

describe('bad input', () => {
  const { model, step } = rig(sgd, { scaler: new GradScaler({ device: 'cpu' }) });

  test('an async function', () => {
    assert.throws(() => step.run((async () => zeros([])) as never), {
      code: 'ASYNC_REGION',
      message:
        'TrainingStep.run: the function is async. Its region is a property of the thread, so other code would run ' +
        'inside it during an await; pass a synchronous function and await outside',
    });
    assert.throws(() => step.run((() => Promise.resolve(1)) as never), { code: 'ASYNC_REGION' });
  });

  test('a loss that is not one number', () => {
    assert.throws(() => step.run(() => model.forward(ones([2, 2, 4, 4]))), {
      name: 'AmpError',
      code: 'VALUE',
      message: 'TrainingStep.run: the loss must be one number, not a tensor of shape [2, 3]',
      hint: 'reduce it: loss.mean() or loss.sum()',
    });
    assert.throws(() => step.run((() => undefined) as never), {
      message: 'TrainingStep.run: the function must return the loss, a tensor; it gave undefined',
    });
  });

  test('a loss that no parameter has a part in', () => {
    assert.throws(() => step.run(() => ones([1]).requiresGrad_().mul(2)), {
      code: 'ASSERTION',
      message: 'TrainingStep: no parameter of the optimizers has a gradient',
      hint: 'the loss must depend on parameters that were given to the optimizers and require gradients',
    });
  });

  test('fp16 parameters given to the scaler', () => {
    const half = new nn.Linear(2, 2).half();
    const optimizers = new optim.SGD(half.parameters());
    const scaled = new TrainingStep({ model: half, optimizers, scaler: new GradScaler({ device: 'cpu' }) });
    assert.throws(() => scaled.run(() => half.forward(ones([1, 2], { dtype: 'float16' })).sum()), {
      name: 'AmpError',
      code: 'VALUE',
      message: 'Attempting to unscale FP16 gradients.',
      hint:
        'keep the parameters in float32 (master weights) and let autocast cast them: model.float(); ' +
        'with parameters in half precision use bfloat16 and no scaler',
    });
  });

  test('inside autocast', () => {
    assert.throws(
      () => autocast({ device: 'cpu' }, () => step.run(() => model.forward(ones([2, 2, 4, 4])).sum())),
      {
        name: 'AmpError',
        code: 'INSIDE_AUTOCAST',
      },
    );
  });
});

test('nothing is left behind by windows, good or bad', () => {
  for (const deferred of [false, true]) {
    const scaler = new GradScaler({ device: 'cpu' });
    const r = rig(sgd, { scaler, deferred, accumulate: 2, clip: 1 });
    const after = (count: number) => {
      for (let i = 0; i < count; i++) {
        r.model.gain = i % 8 === 3 ? INFINITY : 1;
        r.batch(i);
      }
      collectGarbage();
      return memory.stats();
    };
    const before = after(16);
    assertNothingLeft(before, after(64));
  }
});
