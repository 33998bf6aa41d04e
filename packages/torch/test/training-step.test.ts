import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GradScaler, manualSeed, memory, nn, noGrad, randn } from '../src/index.ts';
import { assertNothingLeft } from './assert-memory.ts';
import { OPTIMIZERS, rig, sgd } from './training-step-rig.ts';

const INFINITY = Number.POSITIVE_INFINITY;

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

  test('tells of the backward pass of every batch, before the gradients are unscaled', () => {
    const scaler = new GradScaler({ device: 'cpu', initScale: 8 });
    const { batch, model, step } = rig(sgd, { scaler, accumulate: 2 });
    const largest = () =>
      Math.max(...model.parameters().map(({ grad }) => grad!.abs().max().item() as number));
    const scaled: number[] = [];
    let unscaled = 0;
    const hook = step.onBackward(() => scaled.push(largest()));
    step.onGradients(() => {
      unscaled = largest();
    });
    batch(0);
    assert.equal(scaled.length, 1);
    batch(1);
    assert.equal(scaled.length, 2);
    assert.equal(scaled[1], 8 * unscaled);
    hook.remove();
    batch(2);
    assert.equal(scaled.length, 2);
  });

  test('the first of two batches leaves the window open', () => {
    const { batch } = rig(sgd, { accumulate: 2 });
    const open = {
      complete: false,
      applied: null,
      scale: null,
      norm: null,
      culprits: [],
      culpritsByRank: [],
      largest: null,
    };
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

test('nothing is left behind by windows, good or bad', () => {
  for (const deferred of [false, true]) {
    const scaler = new GradScaler({ device: 'cpu' });
    const r = rig(sgd, { scaler, deferred, accumulate: 2, clip: 1 });
    const after = (count: number) => {
      for (let i = 0; i < count; i++) {
        r.model.gain = i % 8 === 3 ? INFINITY : 1;
        r.batch(i);
      }
      memory.collectGarbage();
      return memory.stats();
    };
    const before = after(16);
    assertNothingLeft(before, after(64));
  }
});
