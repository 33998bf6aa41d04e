import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GradScaler, optim, TrainingStep } from '../src/index.ts';
import { Net, OPTIMIZERS, rig, sgd } from './training-step-rig.ts';

const INFINITY = Number.POSITIVE_INFINITY;

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
