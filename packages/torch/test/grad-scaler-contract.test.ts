import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type amp, cuda, full, GradScaler, nn, optim, type Tensor, tensor, zeros } from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { heardDuring } from './heard-during.ts';

const { Parameter } = nn;

describe('scale()', () => {
  test('G10: keeps lists and their nesting, and makes other iterables lazy', () => {
    const scaler = new GradScaler({ device: 'cpu', initScale: 4 });
    const nested = scaler.scale([full([], 1), [full([], 2), [full([], 3)]]]) as [Tensor, [Tensor, [Tensor]]];
    assert.deepEqual([nested[0].item(), nested[1][0].item(), nested[1][1][0].item()], [4, 8, 12]);
    let drawn = 0;
    function* losses() {
      for (const value of [1, 2]) {
        drawn += 1;
        yield full([], value);
      }
    }
    const lazy = scaler.scale(losses());
    assert.equal(drawn, 0);
    assert.deepEqual(
      Array.from(lazy, (t) => t.item()),
      [4, 8],
    );
  });

  test('G10: puts the scale on the device of the first tensor', {
    skip: cuda.isAvailable() ? false : 'needs a CUDA device',
  }, () => {
    const scaler = new GradScaler({ initScale: 4 });
    const [host, device] = scaler.scale([full([], 1, { device: 'cuda' }), full([], 1)]);
    assert.deepEqual([host!.device, device!.device, device!.item()], ['cuda:0', 'cpu', 4]);
  });

  test('G10: refuses what is no tensor', () => {
    const scaler = new GradScaler({ device: 'cpu' });
    for (const wrong of [3, null, [1], 'loss']) {
      assert.throws(() => scaler.scale(wrong as unknown as Tensor), {
        name: 'AmpError',
        code: 'VALUE',
        message: 'outputs must be a Tensor or an iterable of Tensors',
      });
    }
  });
});

describe('optimizers that apply the scale themselves', () => {
  test('G12: they see scale and flag as tensors during step only', () => {
    const param = new Parameter(tensor([1, 2]));
    let seen: unknown[] = [];
    const custom: amp.ScaledOptimizer<[string], string> = {
      paramGroups: [{ params: [param] }],
      stepSupportsAmpScaling: true,
      step(word) {
        seen = [word, this.gradScale!.item(), this.foundInf!.item(), numbersOf(param.grad!)];
        return 'done';
      },
    };
    const scaler = new GradScaler({ device: 'cpu', initScale: 16 });
    scaler.scale(zeros([]));
    param.grad = tensor([32, Number.NaN]);
    assert.equal(scaler.step(custom, 'now'), 'done');
    assert.deepEqual(seen, ['now', 16, 1, [32, Number.NaN]]);
    assert.deepEqual(Object.keys(custom), ['paramGroups', 'stepSupportsAmpScaling', 'step']);
    scaler.update();
    assert.equal(scaler.getScale(), 8);
  });

  test('G12: those of the old contract get the scaler itself, with a warning', () => {
    const param = new Parameter(tensor([1, 2]));
    let given: unknown;
    const old: amp.ScaledOptimizer<[], void> = {
      paramGroups: [{ params: [param] }],
      stepTakesGradScaler: true,
      step(...args: unknown[]) {
        given = (args[0] as { gradScaler: unknown }).gradScaler;
      },
    };
    const scaler = new GradScaler({ device: 'cpu' });
    scaler.scale(zeros([]));
    const heard = heardDuring(() => scaler.step(old));
    assert.equal(given, scaler);
    assert.deepEqual(
      heard.map(({ code }) => code),
      ['DEPRECATED'],
    );
  });

  test('SGD with dampening leaves the skip to the scaler', () => {
    const make = (dampening: number) =>
      new optim.SGD([new Parameter(tensor([1]))], { momentum: 0.9, dampening, fused: true });
    assert.deepEqual([make(0).stepSupportsAmpScaling, make(0.5).stepSupportsAmpScaling], [true, false]);
  });
});

describe('update(newScale)', () => {
  test('G14: copies a tensor: later edits of it have no effect', () => {
    const scaler = new GradScaler({ device: 'cpu' });
    scaler.scale(zeros([]));
    const wanted = tensor([32]);
    scaler.update(wanted);
    wanted.fill_(5);
    assert.equal(scaler.getScale(), 32);
  });

  test('takes one number without gradient only', () => {
    const scaler = new GradScaler({ device: 'cpu' });
    scaler.scale(zeros([]));
    for (const wrong of [zeros([2]), zeros([1], { requiresGrad: true })]) {
      assert.throws(() => scaler.update(wrong), {
        name: 'AmpError',
        code: 'ASSERTION',
        message:
          'new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with requires_grad=False.',
      });
    }
  });
});

test('G17: a skip is visible, and a schedule that asks does not move on it', () => {
  const param = new Parameter(tensor([1]));
  const optimizer = new optim.SGD([param], { lr: 1 });
  const scheduler = new optim.lrScheduler.StepLR(optimizer, 1, { gamma: 0.5 });
  const scaler = new GradScaler({ device: 'cpu' });
  assert.equal(scaler.skipped(optimizer), undefined);
  const trace = [1, Number.NaN, Number.NaN, 1].map((value) => {
    scaler.scale(zeros([]));
    param.grad = tensor([value]);
    scaler.step(optimizer);
    scaler.update();
    if (scaler.skipped(optimizer) === false) scheduler.step();
    return [scaler.skipped(optimizer), optimizer.paramGroups[0]!.lr];
  });
  assert.deepEqual(trace, [
    [false, 0.5],
    [true, 0.5],
    [true, 0.5],
    [false, 0.25],
  ]);
});

describe('an interval lowered below the tracker still lets the scale grow', () => {
  const lower: Record<string, (scaler: GradScaler) => void> = {
    'by loadStateDict': (scaler) =>
      scaler.loadStateDict({ ...(scaler.stateDict() as amp.GradScalerState), growth_interval: 2 }),
    'by setGrowthInterval': (scaler) => scaler.setGrowthInterval(2),
  };
  for (const [name, change] of Object.entries(lower)) {
    test(`G20: ${name}`, () => {
      const param = new Parameter(tensor([1]));
      const optimizer = new optim.SGD([param]);
      const scaler = new GradScaler({ device: 'cpu', initScale: 4, growthInterval: 100 });
      const step = () => {
        scaler.scale(zeros([]));
        param.grad = tensor([1]);
        scaler.step(optimizer);
        scaler.update();
      };
      for (let i = 0; i < 5; i++) step();
      assert.deepEqual([scaler.getScale(), scaler.getGrowthTracker()], [4, 5]);
      change(scaler);
      step();
      assert.deepEqual([scaler.getScale(), scaler.getGrowthTracker()], [8, 0]);
    });
  }
});

test('CUDA asked for without a GPU warns and disables', { skip: cuda.isAvailable() }, () => {
  let scaler: GradScaler | undefined;
  const heard = heardDuring(() => {
    scaler = new GradScaler({ device: 'cuda' });
  });
  assert.deepEqual(heard, [
    {
      code: 'CUDA_UNAVAILABLE',
      message: 'torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.',
    },
  ]);
  assert.deepEqual([scaler!.isEnabled(), scaler!.getScale(), scaler!.stateDict()], [false, 1, {}]);
});
