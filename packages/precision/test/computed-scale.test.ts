import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type AutocastOptions,
  amp,
  autocast,
  cuda,
  GradScaler,
  getRngState,
  manualSeed,
  nn,
  optim,
  randn,
  scope,
  type Tensor,
  tensor,
} from '@mezzo/torch';
import fc from 'fast-check';
import { calibrateScale, SCALE_RULES, sampleBoundaries } from '../src/index.ts';

const { advance, scaleFor, startOf } = amp;
const rule = SCALE_RULES.computed;

describe('S = 2^floor(log2(65504 / (2^k · m)))', () => {
  test('for any m and k: a power of two, the largest with k bits free', () => {
    const magnitudes = fc.double({ min: 1e-30, max: 1e30, noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(magnitudes, fc.constantFrom(0, 0.5, 0.75, 1, 2.5, 4), (m, headroom) => {
        const scale = scaleFor({ ...rule, headroom }, m);
        assert.ok(Number.isInteger(Math.log2(scale)));
        assert.ok(scale * m * 2 ** headroom <= 65504);
        assert.ok(2 * scale * m * 2 ** headroom > 65504);
      }),
      { numRuns: 1000, seed: 3 },
    );
  });

  test('at the edges: m = 65504 / 2^n exactly, and one step above', () => {
    const none = { ...rule, headroom: 0 };
    for (const n of [0, 1, 5, 16]) {
      const m = 65504 / 2 ** n;
      assert.equal(scaleFor(none, m), 2 ** n);
      assert.equal(scaleFor(none, m * (1 + Number.EPSILON)), 2 ** (n - 1));
    }
  });

  test('a floor and a ceiling hold it', () => {
    assert.equal(scaleFor({ ...rule, floor: 1 }, 1e9), 1);
    assert.equal(scaleFor({ ...rule, ceiling: 2 ** 24 }, 1e-9), 2 ** 24);
  });
});

const clean = (largest: number | null): amp.Verdict => ({ overflow: false, largest });
const overflow: amp.Verdict = { overflow: true, largest: null };

/** One bit free, a short memory and no patience. */
const plain: amp.ScaleRule = {
  ...rule,
  headroom: 1,
  growthInterval: 2,
  hysteresis: 1,
  startHeadroom: 0,
  startWindows: 0,
};

const after = (of: amp.ScaleRule, state: amp.ScaleState, verdicts: amp.Verdict[]) =>
  verdicts.map((verdict) => {
    state = advance(of, state, verdict).state;
    return state.scale;
  });

describe('the running maximum', () => {
  test('goes half of the way in the windows of its interval, up as down', () => {
    // 65504 / (2 · 1) is just below 2^15, so each power of two of m costs one of the scale.
    const up = after(plain, startOf(plain), [clean(1), ...Array.from({ length: 6 }, () => clean(16))]);
    assert.deepEqual(up.map(Math.log2), [14, 12, 11, 11, 11, 11, 11]);
    const down = after(plain, startOf(plain), [clean(16), ...Array.from({ length: 6 }, () => clean(1))]);
    assert.deepEqual(down.map(Math.log2), [10, 12, 13, 14, 14, 14, 14]);
  });

  test('is the same whatever the unit of the loss', () => {
    const largest = fc.double({ min: 1e-3, max: 1e3, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(largest, { minLength: 2, maxLength: 40 }),
        fc.integer({ min: -9, max: 9 }),
        (met, unit) => {
          const scales = after(plain, startOf(plain), met.map(clean));
          const moved = after(
            plain,
            startOf(plain),
            met.map((m) => clean(m * 2 ** unit)),
          );
          assert.deepEqual(
            moved.map((scale) => scale * 2 ** unit),
            scales,
          );
        },
      ),
      { numRuns: 200, seed: 5 },
    );
  });

  test('an overflow halves the scale, again and again, and the scale comes back', () => {
    const start = after(plain, startOf(plain), [clean(1)])[0]!;
    const scales = after(plain, { ...startOf(plain), scale: start, largest: 1 }, [
      overflow,
      overflow,
      ...Array.from({ length: 9 }, () => clean(1)),
    ]);
    assert.deepEqual(scales.slice(0, 2), [start / 2, start / 4]);
    assert.equal(scales.at(-1), start);
  });

  test('with patience one overflow alone weighs as one window; each further one in a row halves the scale', () => {
    const patient: amp.ScaleRule = { ...plain, growthInterval: 8, hysteresis: 2 };
    const begun = { ...startOf(patient), scale: 2 ** 14, largest: 1 };
    const alone = after(patient, begun, [overflow, clean(1), overflow, clean(1)]);
    assert.deepEqual(alone.map(Math.log2), [14, 14, 14, 14]);
    const { change } = advance(patient, begun, overflow);
    assert.equal(change, 'spared');
    const row = after(patient, begun, [overflow, overflow, overflow, overflow]);
    assert.deepEqual(row.map(Math.log2), [14, 13, 12, 11]);
  });

  test('a window without a measurement, or with zero gradients only, leaves the scale alone', () => {
    assert.deepEqual(after(plain, startOf(plain), [clean(null), clean(0)]), [65536, 65536]);
  });
});

describe('the headroom of the start', () => {
  const careful: amp.ScaleRule = { ...plain, startHeadroom: 3, startWindows: 6 };
  const ones = (count: number) => Array.from({ length: count }, () => clean(1));
  const bits = (scales: number[]) => scales.map(Math.log2);
  const scaler = () => new GradScaler({ device: 'cpu', rule: careful });
  const calibrated = scaler();
  calibrated.calibrate(1);
  const begun = (calibrated.stateDict() as amp.GradScalerState).state!;

  test('begins with the calibration and goes over its windows', () => {
    assert.equal(Math.log2(begun.scale), 11);
    // Free: 3.5, 3, 2.5, 2, 1.5, 1 and 1 bits of 15.999.
    assert.deepEqual(bits(after(careful, begun, ones(7))), [12, 12, 13, 13, 14, 14, 14]);
  });

  test('an overflow halves the scale there too', () => {
    assert.deepEqual(bits(after(careful, begun, [overflow, overflow])), [10, 9]);
  });

  test('a state saved in its middle goes on; one saved before it existed goes on without', () => {
    const optimizer = new optim.SGD([new nn.Parameter(tensor([1]))], { lr: 0.1 });
    const windows = (of: GradScaler, count: number) =>
      Array.from({ length: count }, () => {
        const [[parameter]] = optimizer.paramGroups.map(({ params }) => params) as [[nn.Parameter]];
        parameter.grad = null;
        of.scale(parameter.mul(1).sum()).backward();
        of.step(optimizer);
        of.update();
        return Math.log2(of.getScale());
      });
    const whole = scaler();
    whole.calibrate(1);
    const first = windows(whole, 3);
    const saved = JSON.parse(JSON.stringify(whole.stateDict())) as amp.GradScalerState;
    const resumed = new GradScaler({ device: 'cpu', rule });
    resumed.loadStateDict(saved);
    assert.deepEqual(first, [12, 12, 13]);
    assert.deepEqual(windows(resumed, 3), windows(whole, 3));
    assert.deepEqual(resumed.stateDict(), whole.stateDict());

    const { startHeadroom: _bits, startWindows: _windows, ...oldRule } = saved.rule!;
    const { starting: _starting, ...oldState } = saved.state!;
    const old = scaler();
    old.loadStateDict({ ...saved, rule: oldRule, state: oldState } as amp.GradScalerState);
    assert.deepEqual(windows(old, 2), [14, 14]);
  });
});

class Net extends nn.Module {
  readonly first = new nn.Linear(8, 32);
  readonly norm = new nn.BatchNorm1d(32);
  readonly last = new nn.Linear(32, 4);

  override forward(x: Tensor): Tensor {
    return this.last.forward(this.norm.forward(this.first.forward(x)).relu());
  }
}

const devices = ['cpu', 'cuda'] as const;
const skipOn = (device: (typeof devices)[number]) =>
  device === 'cuda' && !cuda.isAvailable() ? 'needs a CUDA device' : false;

for (const device of devices) {
  describe(`a model trained under a computed scale on ${device}`, { skip: skipOn(device) }, () => {
    const setUp = () => {
      manualSeed(0);
      const model = new Net().to({ device });
      const [x, y] = [randn([16, 8]).to({ device }), randn([16, 4]).to({ device })];
      const scaler = new GradScaler({ device, rule });
      const loss = (region: AutocastOptions) =>
        nn.functional.mseLoss(autocast(region, () => model.forward(x)).float(), y);
      return { model, scaler, loss };
    };

    test('the first maximum comes from a pass that leaves no trace', () => {
      const { model, scaler, loss } = setUp();
      const parameters = model.parameters();
      parameters[0]!.grad = tensor([[1]])
        .to({ device })
        .expand([32, 8])
        .clone();
      const state = () => [
        ...Object.values(model.stateDict()).map((t) => String(t.toTypedArray())),
        String(parameters[0]!.grad!.toTypedArray()),
        String(getRngState()),
      ];
      const before = state();
      const { largest, scale } = calibrateScale({ model, scaler, loss, device });
      assert.deepEqual(state(), before);
      assert.deepEqual(
        parameters.slice(1).map(({ grad }) => grad),
        parameters.slice(1).map(() => null),
      );
      assert.ok(largest > 1e-4 && largest < 100);
      // Twice, because fp16 rounds elsewhere than bf16.
      assert.equal(scale, scaleFor(rule, 2 * largest, rule.startWindows));
      // Kernels and their biases count; the normalisation's gradients are made in float32.
      assert.deepEqual(
        Array.from(model.namedParameters(), ([name, parameter]) => [name, scaler.producesHalf(parameter)]),
        [
          ['first.weight', true],
          ['first.bias', true],
          ['norm.weight', false],
          ['norm.bias', false],
          ['last.weight', true],
          ['last.bias', true],
        ],
      );
    });

    test('a plain loop: scale, unscale_, step, update measure by themselves, between modules too', () => {
      const { model, scaler, loss } = setUp();
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.01 });
      calibrateScale({ model, scaler, loss, device });
      const sampling = sampleBoundaries(model, scaler, { every: 2 });
      const scales = Array.from({ length: 12 }, () =>
        scope(() => {
          scaler.scale(loss({ device, dtype: 'float16' })).backward();
          scaler.step(optimizer);
          scaler.update();
          optimizer.zeroGrad();
          assert.equal(scaler.skipped(optimizer), false);
          return scaler.getScale();
        }),
      );
      sampling.remove();
      const { largest, starting } = (scaler.stateDict() as amp.GradScalerState).state!;
      assert.equal(starting, rule.startWindows - 12);
      assert.equal(scales.at(-1), scaleFor(rule, largest, starting));
      assert.equal(Object.hasOwn(model.first, 'forward'), false);
    });

    test('a gradient between modules that is larger than every parameter’s sets the scale', () => {
      class Steep extends nn.Module {
        readonly small = new nn.Linear(4, 4);
        readonly steep = new nn.Identity();

        override forward(x: Tensor): Tensor {
          return this.steep.forward(this.small.forward(x.mul(2 ** -10))).mul(64);
        }
      }
      const model = new Steep().to({ device });
      const scaler = new GradScaler({ device, rule: plain });
      const x = tensor([[1, 1, 1, 1]]).to({ device });
      const { largest } = calibrateScale({
        model,
        scaler,
        device,
        loss: (region) =>
          autocast(region, () => model.forward(x))
            .float()
            .sum(),
      });
      assert.equal(largest, 64);
      assert.equal(scaler.getScale(), 2 ** 7);
    });
  });
}

describe('what cannot be calibrated is refused', () => {
  const model = new nn.Sequential(new nn.Linear(2, 1));
  const attempt = (factor: number) =>
    calibrateScale({
      model,
      scaler: new GradScaler({ device: 'cpu', rule }),
      device: 'cpu',
      loss: (region) =>
        autocast(region, () => model.forward(tensor([[1, 1]])))
          .float()
          .sum()
          .mul(factor),
    });

  test('gradients that are not finite in bfloat16 either', () => {
    assert.throws(() => attempt(Number.NaN), {
      code: 'CALIBRATION_FAILED',
      message: 'the loss scale cannot be computed: a gradient is not finite, in bfloat16 already',
    });
  });

  test('gradients that are all zero', () => {
    assert.throws(() => attempt(0), {
      code: 'CALIBRATION_FAILED',
      message: 'the loss scale cannot be computed: all gradients are zero, in bfloat16 already',
    });
  });

  test('another rule, and no number', () => {
    assert.throws(() => new GradScaler({ device: 'cpu' }).calibrate(1), {
      code: 'VALUE',
      message: 'calibrate: only a computed scale is set by the largest gradient',
    });
    assert.throws(() => new GradScaler({ device: 'cpu', rule }).calibrate(Number.NaN), {
      code: 'VALUE',
      message: 'calibrate: the gradient must be finite and above 0, not NaN',
    });
  });
});
