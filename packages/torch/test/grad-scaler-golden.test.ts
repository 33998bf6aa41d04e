import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { GradScalerState } from '../src/amp/index.ts';
import {
  full,
  GradScaler,
  type GradScalerOptions,
  MezzoError,
  nn,
  optim,
  type Tensor,
  tensor,
} from '../src/index.ts';
import { Parameter } from '../src/nn/parameter.ts';
import { numbersOf } from './assert-close.ts';
import { fixture } from './fixture.ts';

type Put = 'ok' | 'inf' | 'nan' | '-inf' | 'zero';

interface Step {
  grad: Put | Put[];
  op?: string;
  loaded?: GradScalerState;
  scale: number;
  growth_tracker: number;
  stepped: boolean[];
  weights: number[][];
  state_dict: GradScalerState | Record<string, never>;
  unscaled?: number[];
  norm?: number;
  clipped?: number[];
}

interface Scenario {
  name: string;
  config: Record<string, number | boolean>;
  optimizers: number;
  lr: number;
  trace: Step[];
}

const golden = fixture<{
  initial_weights: number[];
  default_base_gradient: number[];
  inf_nan_position: number;
  minus_inf_position: number;
  scenarios: Scenario[];
  scale_call: { tensor: number; list: number[]; half_input: [number, string]; bf16_input: string };
  errors: { case: string; error: string | null; text?: string }[];
}>('grad_scaler.json');

/** Counts the steps that were really taken. */
class CountingSGD extends optim.SGD {
  steps = 0;

  override step<R = undefined>(closure?: () => R): R | undefined {
    this.steps += 1;
    return super.step(closure);
  }
}

const BASES: Record<string, number[]> = { unscale_then_clip: [3, 4, 12] };

function gradient(put: Put, base: readonly number[], scale: number): Tensor {
  const values = base.map((value) => (put === 'zero' ? 0 : value * scale));
  if (put === 'inf') values[golden.inf_nan_position] = Number.POSITIVE_INFINITY;
  if (put === 'nan') values[golden.inf_nan_position] = Number.NaN;
  if (put === '-inf') values[golden.minus_inf_position] = Number.NEGATIVE_INFINITY;
  return tensor(values);
}

function scalerOf(config: Scenario['config']): GradScaler {
  const camel: Record<string, keyof GradScalerOptions> = {
    init_scale: 'initScale',
    growth_factor: 'growthFactor',
    backoff_factor: 'backoffFactor',
    growth_interval: 'growthInterval',
    enabled: 'enabled',
  };
  const options = Object.fromEntries(Object.entries(config).map(([key, value]) => [camel[key]!, value]));
  return new GradScaler({ device: 'cpu', ...options });
}

function assertWeights(params: readonly Tensor[], expected: readonly number[][]): void {
  expected.forEach((weights, i) => {
    numbersOf(params[i]!).forEach((value, j) => {
      const close = Object.is(value, weights[j]) || Math.abs(value - weights[j]!) <= 1e-6;
      assert.ok(close, `weight ${j} of optimizer ${i}: ${value}, expected ${weights[j]}`);
    });
  });
}

function assertScaler(scaler: GradScaler, step: Step): void {
  assert.equal(scaler.getScale(), step.scale);
  if (step.growth_tracker !== undefined) assert.equal(scaler.getGrowthTracker(), step.growth_tracker);
  assert.deepEqual(scaler.stateDict(), step.state_dict);
}

/** One line of a trace: gradients are put in, the optimizers step, the scaler updates. */
function replay(
  scenario: Scenario,
  step: Step,
  scaler: GradScaler,
  params: Tensor[],
  optimizers: CountingSGD[],
) {
  const base = BASES[scenario.name] ?? golden.default_base_gradient;
  scaler.scale(full([], 1));
  const accumulates = scenario.name === 'accumulate_3';
  params.forEach((param, i) => {
    const puts = accumulates ? (step.grad as Put[]) : [([step.grad].flat() as Put[])[i]!];
    const grads = puts.map((put) => gradient(put, base, scaler.getScale()));
    param.grad = grads.reduce((sum, grad) => sum.add(grad));
  });
  if (step.unscaled !== undefined) {
    scaler.unscale_(optimizers[0]!);
    assert.deepEqual(numbersOf(params[0]!.grad!), step.unscaled);
    const norm = nn.utils.clipGradNorm_(params, 1);
    assert.equal(norm.item(), step.norm);
    numbersOf(params[0]!.grad!).forEach((value, j) => {
      const expected = step.clipped![j]!;
      assert.ok(Object.is(value, expected) || Math.abs(value - expected) <= 1e-6, `clipped ${j}: ${value}`);
    });
  }
  const stepped = optimizers.map((optimizer) => {
    const before = optimizer.steps;
    scaler.step(optimizer);
    return optimizer.steps > before;
  });
  assert.deepEqual(stepped, step.stepped);
  if (scaler.isEnabled()) {
    assert.deepEqual(
      optimizers.map((optimizer) => scaler.skipped(optimizer)),
      step.stepped.map((did) => !did),
    );
  }
}

function setUp(scenario: Scenario) {
  const params = Array.from(
    { length: scenario.optimizers },
    () => new Parameter(tensor(golden.initial_weights)),
  );
  const optimizers = params.map((param) => new CountingSGD([param], { lr: scenario.lr }));
  return { scaler: scalerOf(scenario.config), params, optimizers };
}

describe('every scenario leaves the scale, tracker, weights and state of torch.amp.GradScaler', () => {
  for (const scenario of golden.scenarios.filter(({ name }) => name !== 'new_scale_and_state')) {
    test(scenario.name, () => {
      const { scaler, params, optimizers } = setUp(scenario);
      for (const step of scenario.trace) {
        replay(scenario, step, scaler, params, optimizers);
        scaler.update();
        for (const optimizer of optimizers) optimizer.zeroGrad();
        assertScaler(scaler, step);
        assertWeights(params, step.weights);
      }
    });
  }

  test('new_scale_and_state', () => {
    const scenario = golden.scenarios.find(({ name }) => name === 'new_scale_and_state')!;
    const { scaler, params, optimizers } = setUp(scenario);
    const updates: Record<string, number | Tensor | undefined> = {
      'update(128.0)': 128,
      'update(tensor 7.0)': full([], 7),
    };
    for (const step of scenario.trace) {
      if (step.op === 'load_state_dict') scaler.loadStateDict(step.loaded!);
      else if (step.op!.startsWith('load_state_dict into a fresh')) {
        const fresh = new GradScaler({ device: 'cpu' });
        fresh.loadStateDict(step.state_dict as GradScalerState);
        assert.equal(fresh.getScale(), step.scale);
        assert.deepEqual(fresh.stateDict(), step.state_dict);
        continue;
      } else {
        const put = step.op === 'inf step' ? 'inf' : 'ok';
        replay(scenario, { ...step, grad: put }, scaler, params, optimizers);
        scaler.update(updates[step.op!]);
        optimizers[0]!.zeroGrad();
      }
      assertScaler(scaler, step);
      assertWeights(params, step.weights);
    }
  });
});

test('scale() multiplies tensors, lists and half inputs as in PyTorch', () => {
  const scaler = new GradScaler({ device: 'cpu', initScale: 4 });
  const { scale_call: expected } = golden;
  assert.equal(scaler.scale(full([], 3)).item(), expected.tensor);
  assert.deepEqual(
    scaler.scale([full([], 3), full([], 6)]).map((t) => t.item()),
    expected.list,
  );
  const half = scaler.scale(full([], expected.half_input[0] / 4, { dtype: 'float16' }));
  assert.deepEqual([half.item(), `torch.${half.dtype}`], expected.half_input);
  assert.equal(`torch.${scaler.scale(full([], 1, { dtype: 'bfloat16' })).dtype}`, expected.bf16_input);
});

/** Python's exception class of our error codes. */
const PYTHON_CLASS: Record<string, string> = {
  RUNTIME: 'RuntimeError',
  ASSERTION: 'AssertionError',
  VALUE: 'ValueError',
};

interface Misuse {
  scaler: GradScaler;
  optimizer: optim.SGD;
  param: Tensor;
}

/** A scaler in use: `scale` called, one gradient in place. */
function inUse(dtype: 'float32' | 'float16' | 'bfloat16' = 'float32'): Misuse {
  const param = new Parameter(tensor([1, 2, 3], { dtype }));
  const optimizer = new optim.SGD([param], { lr: 0.5 });
  const scaler = new GradScaler({ device: 'cpu' });
  scaler.scale(full([], 1));
  param.grad = tensor([1, 1, 1], { dtype });
  return { scaler, optimizer, param };
}

/** The same before any `scale`. */
function unused(): Misuse {
  return { ...inUse(), scaler: new GradScaler({ device: 'cpu' }) };
}

const MISUSES: Record<string, () => void> = {
  'unscale_ twice before update': () => {
    const { scaler, optimizer } = inUse();
    scaler.unscale_(optimizer);
    scaler.unscale_(optimizer);
  },
  'step twice before update': () => {
    const { scaler, optimizer } = inUse();
    scaler.step(optimizer);
    scaler.step(optimizer);
  },
  'unscale_ after step': () => {
    const { scaler, optimizer } = inUse();
    scaler.step(optimizer);
    scaler.unscale_(optimizer);
  },
  'update before any scale()': () => unused().scaler.update(),
  'update without step or unscale_': () => inUse().scaler.update(),
  'update twice after one step': () => {
    const { scaler, optimizer } = inUse();
    scaler.step(optimizer);
    scaler.update();
    scaler.update();
  },
  'update after unscale_ only': () => {
    const { scaler, optimizer } = inUse();
    scaler.unscale_(optimizer);
    scaler.update();
  },
  'step before any scale()': () => {
    const { scaler, optimizer } = unused();
    scaler.step(optimizer);
  },
  'unscale_ before any scale()': () => {
    const { scaler, optimizer } = unused();
    scaler.unscale_(optimizer);
  },
  'step when no parameter has a gradient': () => {
    const { scaler, optimizer } = inUse();
    optimizer.zeroGrad();
    scaler.step(optimizer);
  },
  'fp16 gradient': () => {
    const { scaler, optimizer } = inUse('float16');
    scaler.unscale_(optimizer);
  },
  'bf16 gradient': () => {
    const { scaler, optimizer } = inUse('bfloat16');
    scaler.step(optimizer);
    scaler.update();
  },
  'step with closure': () => {
    const { scaler, optimizer } = inUse();
    scaler.step(optimizer, () => undefined);
  },
  'load_state_dict of an empty dict': () => new GradScaler({ device: 'cpu' }).loadStateDict({}),
  'all calls repeated on a disabled scaler': () => {
    const { optimizer } = inUse();
    const scaler = new GradScaler({ device: 'cpu', enabled: false });
    for (let i = 0; i < 2; i++) {
      scaler.scale(full([], 1));
      scaler.unscale_(optimizer);
      scaler.step(optimizer);
      scaler.update();
      scaler.loadStateDict(scaler.stateDict());
    }
  },
  'growth_factor 1.0': () => new GradScaler({ device: 'cpu', growthFactor: 1 }),
  'backoff_factor 1.0': () => new GradScaler({ device: 'cpu', backoffFactor: 1 }),
  'growth_interval 0': () => new GradScaler({ device: 'cpu', growthInterval: 0 }),
  'init_scale 0': () => new GradScaler({ device: 'cpu', initScale: 0 }),
};

describe('every misuse raises what PyTorch raises, with its text', () => {
  for (const { case: name, error: expected, text } of golden.errors) {
    test(`G13: ${name}`, () => {
      const misuse = MISUSES[name];
      assert.ok(misuse !== undefined, `no misuse for '${name}'`);
      if (expected === null) {
        misuse();
        return;
      }
      assert.throws(misuse, (error) => {
        assert.ok(error instanceof MezzoError);
        assert.equal(PYTHON_CLASS[error.code], expected);
        assert.equal(error.message, text);
        return true;
      });
    });
  }
});
