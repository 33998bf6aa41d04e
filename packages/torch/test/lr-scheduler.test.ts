import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { optim, setWarningHandler, type Warning, zeros } from '../src/index.ts';
import { Parameter } from '../src/nn/parameter.ts';
import { fixture } from './fixture.ts';

const { lrScheduler: s } = optim;

interface Row {
  name: string;
  lr: number[][];
  momentum: number[];
  state_dict_after_12: Record<string, unknown>;
}

const golden = fixture<{
  metrics: number[];
  rows: Row[];
  plateau: { name: string; options: Record<string, unknown>; lr: number[][]; state_dict_after_12: object }[];
}>('lr_scheduler.json');

function optimizer(): optim.SGD {
  const [a, b] = [new Parameter(zeros([1])), new Parameter(zeros([1]))];
  return new optim.SGD([{ params: [a] }, { params: [b], lr: 0.02 }], { lr: 0.1, momentum: 0.9 });
}

const MAKE: Record<string, (o: optim.Optimizer) => optim.lrScheduler.LRScheduler> = {
  LambdaLR: (o) => new s.LambdaLR(o, [(e) => 1 / (1 + e), (e) => 0.95 ** e]),
  MultiplicativeLR: (o) => new s.MultiplicativeLR(o, (e) => 0.9 + 0.001 * e),
  StepLR: (o) => new s.StepLR(o, 7, { gamma: 0.5 }),
  MultiStepLR: (o) => new s.MultiStepLR(o, [3, 9, 9, 20], { gamma: 0.3 }),
  ExponentialLR: (o) => new s.ExponentialLR(o, 0.87),
  CosineAnnealingLR: (o) => new s.CosineAnnealingLR(o, 10, { etaMin: 0.001 }),
  LinearLR: (o) => new s.LinearLR(o, { startFactor: 0.25, endFactor: 0.9, totalIters: 8 }),
  OneCycleLR_cos: (o) => new s.OneCycleLR(o, { maxLr: [0.3, 0.4], totalSteps: 31 }),
  OneCycleLR_linear_three_phase: (o) =>
    new s.OneCycleLR(o, {
      maxLr: 0.3,
      epochs: 8,
      stepsPerEpoch: 4,
      annealStrategy: 'linear',
      threePhase: true,
      pctStart: 0.4,
      divFactor: 10,
      finalDivFactor: 100,
    }),
  SequentialLR: (o) =>
    new s.SequentialLR(
      o,
      [
        new s.LinearLR(o, { startFactor: 0.1, totalIters: 4 }),
        new s.StepLR(o, 3),
        new s.ExponentialLR(o, 0.9),
      ],
      [4, 15],
    ),
};

const near = (actual: number, expected: number, what: string) =>
  assert.ok(Math.abs(actual - expected) <= 1e-12 * Math.abs(expected), `${what}: ${actual} for ${expected}`);

const rates = (o: optim.Optimizer) => o.paramGroups.map((group) => group.lr);

describe('learning rates and momentum of every epoch are those of PyTorch', () => {
  for (const row of golden.rows) {
    test(row.name, () => {
      const o = optimizer();
      const scheduler = MAKE[row.name]!(o);
      row.lr.forEach((expected, epoch) => {
        if (epoch > 0) {
          o.step();
          scheduler.step();
        }
        rates(o).forEach((lr, i) => {
          near(lr, expected[i]!, `lr ${i} of epoch ${epoch}`);
        });
        near(o.paramGroups[0]!.momentum!, row.momentum[epoch]!, `momentum of epoch ${epoch}`);
        assert.deepEqual(scheduler.getLastLr(), rates(o));
      });
    });

    test(`${row.name}: the state after 12 epochs has PyTorch's names and values, and goes on`, () => {
      const o = optimizer();
      const scheduler = MAKE[row.name]!(o);
      for (let epoch = 0; epoch < 12; epoch++) {
        o.step();
        scheduler.step();
      }
      const state = JSON.parse(JSON.stringify(scheduler.stateDict())) as Record<string, unknown>;
      for (const [key, value] of Object.entries(state)) {
        if (key === '_schedulers') continue;
        const expected = row.state_dict_after_12[key];
        if (Array.isArray(expected)) {
          expected.forEach((number, i) => {
            near((value as number[])[i]!, number as number, key);
          });
        } else assert.deepEqual(value, expected, key);
      }
      const resumed = optimizer();
      const second = MAKE[row.name]!(resumed);
      resumed.loadStateDict(o.stateDict());
      second.loadStateDict(state);
      for (let epoch = 13; epoch < row.lr.length; epoch++) {
        resumed.step();
        second.step();
        rates(resumed).forEach((lr, i) => {
          near(lr, row.lr[epoch]![i]!, `lr ${i} of epoch ${epoch}`);
        });
      }
    });
  }
});

describe('ReduceLROnPlateau reduces when PyTorch does', () => {
  for (const row of golden.plateau) {
    test(row.name, () => {
      const options = Object.fromEntries(
        Object.entries(row.options).map(([key, value]) => [
          key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
          value,
        ]),
      );
      const o = optimizer();
      let scheduler = new s.ReduceLROnPlateau(o, options);
      golden.metrics.forEach((metric, epoch) => {
        scheduler.step(metric);
        rates(o).forEach((lr, i) => {
          near(lr, row.lr[epoch]![i]!, `lr ${i} of epoch ${epoch}`);
        });
        if (epoch !== 11) return;
        const state = scheduler.stateDict();
        const { mode_worse: _, ...expected } = row.state_dict_after_12 as Record<string, unknown>;
        assert.deepEqual(state, expected);
        scheduler = new s.ReduceLROnPlateau(o, options);
        scheduler.loadStateDict(JSON.parse(JSON.stringify(state)) as typeof state);
      });
    });
  }
});

test('stepping the schedule before the optimizer warns once, after a step it does not', () => {
  const heard: Warning[] = [];
  setWarningHandler((warning) => heard.push(warning));
  try {
    const o = optimizer();
    const early = new s.StepLR(o, 3);
    early.step();
    early.step();
    assert.deepEqual(heard, [
      {
        code: 'SCHEDULER_ORDER',
        message:
          'Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and later, you ' +
          'should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  Failure ' +
          'to do this will result in PyTorch skipping the first value of the learning rate schedule. See more ' +
          'details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate',
      },
    ]);
    const late = optimizer();
    const scheduler = new s.StepLR(late, 3);
    late.step();
    scheduler.step();
    assert.equal(heard.length, 1);
  } finally {
    setWarningHandler(null);
  }
});

test('wrong schedules are refused with the text of PyTorch', () => {
  const o = optimizer();
  const cases: [() => unknown, string][] = [
    [() => new s.LambdaLR(o, [(e) => e]), 'Expected 2 lr_lambdas, but got 1'],
    [
      () => new s.OneCycleLR(o, { maxLr: 1 }),
      'You must define either total_steps OR (epochs AND steps_per_epoch)',
    ],
    [
      () => new s.OneCycleLR(o, { maxLr: 1, totalSteps: 0 }),
      'Expected positive integer total_steps, but got 0',
    ],
    [
      () => new s.OneCycleLR(o, { maxLr: [1], totalSteps: 5 }),
      'max_lr must have the same length as optimizer.param_groups. max_lr has 1 values, param_groups has 2.',
    ],
    [
      () => new s.OneCycleLR(o, { maxLr: 1, totalSteps: 5, pctStart: 2 }),
      'Expected float between 0 and 1 pct_start, but got 2',
    ],
    [() => new s.ReduceLROnPlateau(o, { factor: 1 }), 'Factor should be < 1.0.'],
    [() => new s.ReduceLROnPlateau(o, { minLr: [1] }), 'expected 2 min_lrs, got 1'],
    [
      () => new s.SequentialLR(o, [], []),
      'SequentialLR expects at least one scheduler, but got no scheduler.',
    ],
    [
      () => new s.LinearLR(o, { startFactor: 0 }),
      'Starting multiplicative factor expected to be greater than 0 and less or equal to 1.',
    ],
    [
      () => new s.StepLR(optimizer(), 3, { lastEpoch: 4 }),
      "param 'initial_lr' is not specified in param_groups[0] when resuming scheduler with last_epoch >= 0.",
    ],
  ];
  for (const [make, message] of cases) assert.throws(make, { name: 'OptimizerError', message });
});
