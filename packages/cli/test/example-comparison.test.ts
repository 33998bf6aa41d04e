import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Comparison, compare, sideOf } from '../src/example/comparison.ts';
import { comparisonLines, summaryLines } from '../src/example/table.ts';
import type { Training } from '../src/example/training.ts';
import { recordingTerminal } from './recording-terminal.ts';

const terminal = recordingTerminal({ interactive: false });

const accuracy = { about: 'A net.', source: 'A paper', measure: 'accuracy', goal: 0.95, points: 0.01 };

const training = (seed: number, trained: number, details: Record<string, number> = {}): Training => ({
  ...{ seed, untrained: 0.125, trained, seconds: 10 + seed, peakBytes: 2e8, details },
});

const comparison = (fp32: number[], bf16: number[], description = accuracy): Comparison =>
  compare(
    'net',
    description,
    sideOf(
      'float32',
      fp32.map((trained, seed) => training(seed, trained)),
    ),
    sideOf(
      'bfloat16',
      bf16.map((trained, seed) => training(seed, trained)),
    ),
  );

test('an example passes when every run reaches the goal and the means are two points apart at most', () => {
  const good = comparison([0.98, 0.99], [0.96, 0.98]);
  assert.ok(Math.abs(good.gap - 1.5) < 1e-9);
  assert.deepEqual([good.reached, good.passed], [true, true]);
  const oneBelow = comparison([0.98, 0.99], [0.94, 1]);
  assert.deepEqual([oneBelow.reached, oneBelow.passed], [false, false]);
  const apart = comparison([1, 1], [0.96, 0.97]);
  assert.deepEqual([apart.reached, apart.passed], [true, false]);
  // Better is apart too: the two are to be the same.
  assert.equal(comparison([0.96, 0.96], [1, 1]).passed, false);
});

test('a result that is no number does not pass', () => {
  const broken = comparison([0.99, 0.99], [0.99, Number.NaN]);
  assert.deepEqual([broken.reached, broken.passed], [false, false]);
});

test('a point may be another part of the measure', () => {
  const returns = { ...accuracy, measure: 'mean return', goal: 195, points: 2 };
  assert.equal(comparison([200, 198], [196, 196], returns).gap, 1.5);
});

test('the table of an example', () => {
  assert.deepEqual(comparisonLines(comparison([0.98, 0.99], [0.96, 0.98]), terminal), [
    'A net.',
    'A paper',
    '',
    '                               fp32          bf16',
    'accuracy, untrained           0.125         0.125',
    'accuracy, trained             0.985         0.970',
    '  seed 0                      0.980         0.960',
    '  seed 1                      0.990         0.980',
    'time                         10.5 s        10.5 s         1.00x',
    'peak memory                  200 MB        200 MB         1.00x',
    '',
    'passed: accuracy of at least 0.95 in every run, 1.5 points apart',
  ]);
});

test('details follow, and the verdict names what was missed', () => {
  const fp16 = sideOf('float16', [training(0, 0.99, { words: 40, skipped: 3 })]);
  const fp32 = sideOf('float32', [training(0, 0.9, { words: 50, skipped: 0 })]);
  assert.deepEqual(comparisonLines(compare('net', accuracy, fp32, fp16), terminal).slice(-4), [
    'words                            50            40',
    'skipped                           0             3',
    '',
    'missed: accuracy of at least 0.95 in every run',
  ]);
  assert.equal(
    comparisonLines(comparison([1], [0.97]), terminal).at(-1),
    'missed: 3.0 points apart, and 2 are allowed',
  );
});

test('many examples end in a line each', () => {
  const returns = { ...accuracy, measure: 'mean return', goal: 195, points: 2 };
  assert.deepEqual(
    summaryLines([comparison([0.98, 0.99], [0.96, 0.98]), comparison([200], [150], returns)], terminal),
    [
      '✓ net  accuracy: fp32 0.985, bf16 0.970, 1.5 points apart, 00:42',
      '✗ net  mean return: fp32 200.0, bf16 150.0, 25.0 points apart, 00:20',
    ],
  );
});
