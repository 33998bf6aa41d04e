import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  amp,
  autocast,
  GradScaler,
  manualSeed,
  nn,
  noGrad,
  optim,
  randn,
  scope,
  setNumThreads,
  type Tensor,
} from '@mezzo/torch';
import {
  AutoPrecision,
  type AutoPrecisionState,
  blameGradients,
  type HealingOptions,
  locateOverflow,
  type PrecisionEvent,
  planFromPatterns,
  uniformPlan,
} from '../src/index.ts';
import { SpotNet, spots } from './unsafe-net.ts';

setNumThreads(1);

const BATCH = 32;
const SAMPLES = 512;
const data = spots(SAMPLES, 7);

/** A training of SpotNet: plain fp32, plain fp16, or fp16 that heals itself. */
class Run {
  readonly net: SpotNet;
  readonly optimizer: optim.Adam;
  readonly scaler: GradScaler;
  readonly step: amp.TrainingStep;
  readonly auto: AutoPrecision | null;
  readonly events: PrecisionEvent[] = [];
  readonly losses: number[] = [];
  skipped = 0;
  private readonly enabled: boolean;
  private readonly steps: number;

  constructor(
    mode: 'fp32' | 'fp16' | 'auto',
    seed: number,
    steps: number,
    healing: Partial<HealingOptions> = {},
  ) {
    manualSeed(seed);
    this.enabled = mode !== 'fp32';
    this.steps = steps;
    this.net = new SpotNet();
    this.optimizer = new optim.Adam(this.net.parameters(), { lr: 0.003 });
    this.scaler = new GradScaler({ device: 'cpu', enabled: this.enabled });
    this.step = new amp.TrainingStep({ model: this.net, optimizers: this.optimizer, scaler: this.scaler });
    this.auto =
      mode === 'auto' ? new AutoPrecision({ model: this.net, plan: uniformPlan('float16'), healing }) : null;
  }

  train(from = 0, to = this.steps): this {
    for (let i = from; i < to; i++) {
      this.optimizer.paramGroups[0]!.lr = 0.003 * (1 - i / this.steps);
      scope(() => this.batch((i * BATCH) % SAMPLES));
    }
    return this;
  }

  private batch(at: number): void {
    const [pictures, targets] = [data.pictures.narrow(0, at, BATCH), data.targets.narrow(0, at, BATCH)];
    const loss = () => {
      const region = { device: 'cpu', dtype: 'float16', enabled: this.enabled } as const;
      const found = autocast(region, () => this.net.forward(pictures));
      return nn.functional.mseLoss(found.float(), targets);
    };
    let value = Number.NaN;
    const result = this.step.run(() => {
      const made = loss();
      value = Number(made.item());
      return made;
    });
    this.losses.push(value);
    if (result.applied === false) this.skipped += 1;
    const events = this.auto?.afterWindow(result, (scale) => loss().mul(scale).backward()) ?? [];
    this.events.push(...events);
  }

  /** Mean loss of the last time through the data. */
  get final(): number {
    const last = this.losses.slice(-SAMPLES / BATCH);
    return last.reduce((sum, loss) => sum + loss) / last.length;
  }
}

describe('a model with one unsafe layer', () => {
  for (const seed of [1, 2]) {
    test(`trains to its fp32 result with healing, and stalls in plain fp16 (seed ${seed})`, () => {
      const fp32 = new Run('fp32', seed, 200).train();
      const auto = new Run('auto', seed, 200).train();
      assert.ok(fp32.final < 0.2 * fp32.losses[0]!, `fp32 learns: ${fp32.losses[0]} to ${fp32.final}`);
      assert.ok(Math.abs(auto.final / fp32.final - 1) < 0.05, `auto ${auto.final}, fp32 ${fp32.final}`);
      assert.deepEqual([auto.skipped, auto.scaler.getScale()], [2, 16384]);
      assert.equal(auto.events.length, 1);
      const { evidence, ...event } = auto.events[0]!;
      assert.deepEqual(event, {
        event: 'precision',
        window: 2,
        layer: 'energy',
        from: 'float16',
        to: 'float32',
        reason: 'overflowed 2 times within 100 windows, and a lower loss scale did not help',
      });
      const { largestInput, ...known } = evidence;
      assert.deepEqual(known, {
        phase: 'forward',
        scale: 32768,
        windows: [1, 2],
        source: 'replay',
        op: 'aten::mul',
        inner: null,
        node: null,
        dtype: 'float16',
        rule: 'inputs',
      });
      assert.ok(Number(largestInput) ** 2 > 65504);

      const fp16 = new Run('fp16', seed, 40);
      const before = Object.entries(fp16.net.stateDict()).map(
        ([name, tensor]) => [name, tensor.clone()] as const,
      );
      fp16.train();
      assert.equal(fp16.skipped, 40);
      assert.equal(fp16.scaler.getScale(), 65536 / 2 ** 40);
      for (const [name, tensor] of before) assert.ok(fp16.net.stateDict()[name]!.equal(tensor), name);
    });
  }

  test('an interrupted run goes on bit for bit, plan and health included', () => {
    const straight = new Run('auto', 3, 12).train();
    const first = new Run('auto', 3, 12).train(0, 1);
    assert.equal(first.events.length, 0);
    const saved = JSON.stringify({ auto: first.auto!.state(), scaler: first.scaler.stateDict() });
    const second = new Run('auto', 4, 12);
    second.net.loadStateDict(first.net.stateDict());
    second.optimizer.loadStateDict(first.optimizer.stateDict());
    const { auto, scaler } = JSON.parse(saved) as { auto: AutoPrecisionState; scaler: never };
    second.auto!.load(auto);
    second.scaler.loadStateDict(scaler);
    second.train(1);
    assert.deepEqual(second.events, straight.events);
    assert.deepEqual(second.auto!.plan, straight.auto!.plan);
    for (const [name, tensor] of Object.entries(straight.net.stateDict())) {
      assert.ok(second.net.stateDict()[name]!.equal(tensor), name);
    }

    const third = new Run('auto', 5, 12);
    third.auto!.load(JSON.parse(JSON.stringify(straight.auto!.state())) as AutoPrecisionState);
    assert.equal(third.auto!.applied.dtypeOf('energy'), 'float32');
    third.train();
    assert.equal(third.skipped, 0);
    assert.deepEqual(third.auto!.plan.history, straight.auto!.plan.history);
  });

  test('what an island makes may be too large for the next layer, which then follows', () => {
    class Square extends nn.Layer {
      override forward(features: Tensor): Tensor {
        return features.mul(features);
      }
    }
    class Squares extends nn.Layer {
      readonly stem = new nn.Linear(4, 8);
      readonly square = new Square();
      readonly head = new nn.Linear(8, 1);

      override forward(x: Tensor): Tensor {
        return this.head.forward(this.square.forward(this.stem.forward(x)));
      }
    }
    manualSeed(0);
    const net = new Squares();
    const optimizer = new optim.SGD(net.parameters(), { lr: 1e-12 });
    const scaler = new GradScaler({ device: 'cpu', initScale: 2 ** -20 });
    const step = new amp.TrainingStep({ model: net, optimizers: optimizer, scaler });
    const auto = new AutoPrecision({ model: net, plan: uniformPlan('float16') });
    const x = randn([16, 4]).mul(1000);
    const loss = () =>
      autocast({ device: 'cpu', dtype: 'float16' }, () => net.forward(x))
        .float()
        .mean();
    const moved: string[] = [];
    const applied: boolean[] = [];
    for (let i = 0; i < 6; i++) {
      const result = step.run(loss);
      applied.push(result.applied!);
      const events = scope(() => auto.afterWindow(result, (scale) => loss().mul(scale).backward()));
      moved.push(
        ...events.map(({ layer, window, evidence }) => `${window} ${layer} ${evidence.op} ${evidence.inner}`),
      );
    }
    assert.deepEqual(moved, ['2 square aten::mul null', '4 head aten::linear aten::_to_copy']);
    assert.deepEqual(applied, [false, false, false, false, true, true]);
  });

  test('it is tried again, and goes back at the first overflow', () => {
    const run = new Run('auto', 1, 12, { retryAfter: 3 }).train();
    assert.deepEqual(
      run.events.map(({ window, from, to, reason }) => [window, from, to, reason]),
      [
        [
          2,
          'float16',
          'float32',
          'overflowed 2 times within 100 windows, and a lower loss scale did not help',
        ],
        [5, 'float32', 'float16', 'tried again after 3 windows without overflow'],
        [6, 'float16', 'float32', 'overflowed again when it was tried in low precision'],
        [12, 'float32', 'float16', 'tried again after 6 windows without overflow'],
      ],
    );
    assert.deepEqual(
      run.auto!.plan.history,
      run.events.map(({ event: _, ...change }) => change),
    );
  });
});

describe('which layer', () => {
  const low = <T>(fn: () => T): T => autocast({ device: 'cpu', dtype: 'float16' }, fn);

  /** Three layers; gradients of the last are multiplied by `gain` on their way back. */
  class Chain extends nn.Layer {
    readonly first = new nn.Linear(4, 4);
    readonly middle = new nn.Linear(4, 4);
    readonly last = new nn.Linear(4, 4);

    override forward(x: Tensor): Tensor {
      return this.last.forward(this.middle.forward(this.first.forward(x)));
    }
  }

  test('a replay leaves gradients, buffers and generators alone', () => {
    scope(() => {
      manualSeed(0);
      const net = new SpotNet();
      const before = noGrad(() => net.norm.runningMean!.clone());
      net.stem.weight.grad = net.stem.weight.detach().clone();
      const located = locateOverflow(net, () => {
        low(() =>
          net
            .forward(data.pictures.narrow(0, 0, 4))
            .float()
            .sum(),
        ).backward();
        randn([3]);
      });
      assert.equal(located!.layer, 'energy');
      assert.ok(net.norm.runningMean!.equal(before));
      assert.ok(net.stem.weight.grad.equal(net.stem.weight));
      assert.equal(net.head.weight.grad, null);
      const drawn = randn([3]);
      manualSeed(0);
      new SpotNet();
      assert.ok(randn([3]).equal(drawn));
    });
  });

  test('an overflow in backward is told from one in forward', () => {
    scope(() => {
      manualSeed(0);
      const net = new Chain();
      noGrad(() => [net.first.bias!.zero_(), net.middle.weight.fill_(30), net.last.weight.fill_(0.25)]);
      const x = randn([2, 4]).mul(0.01);
      const located = locateOverflow(net, () =>
        low(() => net.forward(x))
          .float()
          .sum()
          .mul(4096)
          .backward(),
      );
      assert.equal(located!.layer, 'middle');
      assert.equal(located!.phase, 'backward');
      assert.equal(located!.evidence.op, 'aten::linear');
    });
  });

  test('a finite batch and an overflow outside the model blame no layer', () => {
    scope(() => {
      const net = new Chain();
      const forward = () => low(() => net.forward(randn([2, 4])));
      assert.equal(
        locateOverflow(net, () => forward().float().sum().backward()),
        null,
      );
      assert.equal(
        locateOverflow(net, () => forward().float().sum().square().mul(1e30).exp().backward())!.layer,
        null,
      );
    });
  });

  test('by gradients alone: the last layer that has a bad one, none when all are bad', () => {
    const net = new Chain();
    const named = (...names: string[]) => blameGradients(net, names)?.layer ?? null;
    assert.equal(named('first.weight', 'first.bias', 'middle.weight'), 'middle');
    assert.equal(named('loss', 'first.bias'), 'first');
    assert.equal(named(...[...net.namedParameters()].map(([name]) => name)), null);
    assert.equal(named('loss'), null);
    net.last.requiresGrad_(false);
    assert.equal(named('first.weight', 'first.bias', 'middle.weight', 'middle.bias'), null);
  });

  test('without a replay a layer is blamed only where the scale cannot be', () => {
    const net = new Chain();
    const auto = new AutoPrecision({ model: net, plan: uniformPlan('float16') });
    const culprits = ['first.weight', 'first.bias', 'middle.weight', 'middle.bias'];
    const moves: string[] = [];
    for (let scale = 65536; scale >= 1; scale /= 2) {
      const events = auto.afterWindow({ applied: false, scale, culprits });
      for (const { layer, evidence } of events) moves.push(`${layer} ${evidence.parameter} at ${scale}`);
    }
    assert.deepEqual(moves.slice(0, 1), ['middle middle.bias at 8']);
  });
});

describe('the plan of a run', () => {
  test('twins follow, islands by hand stay, open windows do not count, remove restores', () => {
    const [net, twin] = [new SpotNet(), new SpotNet()];
    const plan = planFromPatterns('float16', 'head');
    const auto = new AutoPrecision({ model: net, twins: [twin], plan, healing: { strikes: 1 } });
    assert.deepEqual(auto.afterWindow({ applied: null, scale: null, culprits: [] }), []);
    const replay = () =>
      autocast({ device: 'cpu', dtype: 'float16' }, () => net.forward(data.pictures))
        .float()
        .sum()
        .backward();
    scope(() =>
      assert.equal(auto.afterWindow({ applied: false, scale: 1024, culprits: [] }, replay).length, 1),
    );
    assert.deepEqual(
      auto.plan.rules.map(({ layers, dtype }) => [layers, dtype]),
      [
        ['head', 'float32'],
        ['energy', 'float32'],
      ],
    );
    scope(() => {
      const outputs: string[] = [];
      const handle = twin.energy.registerForwardHook((_module, _inputs, output) => {
        outputs.push((output as Tensor).dtype);
      });
      autocast({ device: 'cpu', dtype: 'float16' }, () => noGrad(() => twin.forward(data.pictures)));
      auto.remove();
      autocast({ device: 'cpu', dtype: 'float16' }, () => noGrad(() => twin.forward(data.pictures)));
      assert.deepEqual(outputs, ['float32', 'float16']);
      handle.remove();
    });
  });

  test('a state of another model is refused', () => {
    const auto = new AutoPrecision({
      model: new SpotNet(),
      plan: uniformPlan('float16'),
      healing: { strikes: 1 },
    });
    const health = {
      strikes: [],
      dtype: 'float32',
      reason: 'x',
      clean: 0,
      wait: 1,
      trial: false,
      hopeless: false,
    } as const;
    const state = { healing: { window: 1, curable: false, layers: { 'model.4': health } }, history: [] };
    assert.throws(() => auto.load(state), {
      code: 'PLAN_MISMATCH',
      message: "rule 1 of the precision plan: no layer matches 'model.4'",
    });
  });
});
