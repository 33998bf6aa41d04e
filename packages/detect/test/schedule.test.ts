import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  autoOptimizer,
  epochFactor,
  nominalAccumulate,
  planIteration,
  type ScheduleOptions,
  scaledWeightDecay,
  warmupIterations,
} from '../src/engine/schedule.ts';
import { roundHalfEven } from '../src/rounding.ts';

interface Trace {
  rule: '8.3' | '8.4.190';
  cos_lr?: boolean;
  batch: number;
  epochs?: number;
  nb?: number;
  nominal_accumulate: number;
  weight_decay: number;
  warmup_iterations: number;
  lr_bias?: number[];
  lr_weight_and_bn?: number[];
  momentum?: number[];
  accumulate: number[];
  optimizer_step_at: number[];
}

const golden = JSON.parse(
  readFileSync(new URL('../../test/fixtures/schedule.json', import.meta.url), 'utf8'),
) as {
  epoch_factor_linear: number[];
  epoch_factor_cosine: number[];
  traces: Trace[];
  accumulate: Trace[];
};

function optionsOf(trace: Trace): ScheduleOptions {
  return {
    rule: trace.rule === '8.3' ? 'floor100' : 'epochs',
    epochs: trace.epochs ?? 10,
    batches: 26,
    batch: trace.batch,
    nbs: 64,
    lr0: 0.01,
    lrf: 0.01,
    cosLr: trace.cos_lr ?? false,
    momentum: 0.937,
    warmupEpochs: 3,
    warmupMomentum: 0.8,
    warmupBiasLr: 0.1,
  };
}

function near(actual: number, expected: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) <= 1e-12 * Math.max(Math.abs(expected), 1e-6),
    `${what}: ${actual} ≠ ${expected}`,
  );
}

test('epoch factors equal the golden ones, linear and cosine', () => {
  const rules = [
    ['linear', golden.epoch_factor_linear],
    ['cosine', golden.epoch_factor_cosine],
  ] as const;
  for (const [rule, factors] of rules) {
    for (const [epoch, factor] of factors.entries()) {
      near(epochFactor(epoch, 10, 0.01, rule === 'cosine'), factor, `${rule}, epoch ${epoch}`);
    }
  }
});

for (const trace of [...golden.traces, ...golden.accumulate]) {
  const name = `${trace.rule}, batch ${trace.batch}, ${trace.epochs ?? 10} epochs, ${trace.cos_lr ? 'cosine' : 'linear'}`;
  test(`every iteration follows the golden trace: ${name}`, () => {
    const options = optionsOf(trace);
    assert.equal(warmupIterations(options), trace.warmup_iterations);
    assert.equal(nominalAccumulate(options.batch, options.nbs), trace.nominal_accumulate);
    near(scaledWeightDecay(5e-4, options.batch, options.nbs), trace.weight_decay, 'weight decay');
    const steps: number[] = [];
    let last = -1;
    for (let ni = 0; ni < trace.accumulate.length; ni++) {
      const plan = planIteration(options, ni);
      assert.equal(plan.accumulate, trace.accumulate[ni], `accumulate at ${ni}`);
      if (trace.lr_bias) near(plan.lrBias, trace.lr_bias[ni]!, `bias lr at ${ni}`);
      if (trace.lr_weight_and_bn) near(plan.lrOther, trace.lr_weight_and_bn[ni]!, `lr at ${ni}`);
      if (trace.momentum) near(plan.momentum, trace.momentum[ni]!, `momentum at ${ni}`);
      if (ni - last >= plan.accumulate) {
        steps.push(ni);
        last = ni;
      }
    }
    assert.deepEqual(steps, trace.optimizer_step_at);
  });
}

test('halves round to even', () => {
  assert.deepEqual([0.5, 1.5, 2.5, 2.4999, 3.5, 4.6].map(roundHalfEven), [0, 2, 2, 2, 4, 5]);
});

test('no warm-up epochs means full rates from the first iteration', () => {
  const plan = planIteration({ ...optionsOf(golden.traces[0]!), warmupEpochs: 0 }, 0);
  assert.deepEqual(plan, { lrBias: 0.01, lrOther: 0.01, momentum: 0.937, accumulate: 4 });
});

test('the auto rule: AdamW scaled by classes for short runs, SGD for long ones', () => {
  assert.deepEqual(autoOptimizer(205, 16, 64, 40, 3), {
    name: 'AdamW',
    lr0: 0.001429,
    momentum: 0.9,
    warmupBiasLr: 0,
  });
  assert.deepEqual(autoOptimizer(118_287, 16, 64, 100, 80), {
    name: 'SGD',
    lr0: 0.01,
    momentum: 0.9,
    warmupBiasLr: 0,
  });
});
