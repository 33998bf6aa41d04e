import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixture } from './fixture.ts';
import { runRanks } from './ranks.ts';

type Numbers = { [name: string]: number[] };
interface Run {
  start: Numbers;
  steps: Numbers[];
  end: number[];
  mean: number[];
}

const recorded = fixture<{ dataParallel: Run[] }>('distributed.json').dataParallel;

function assertNear(actual: unknown, expected: unknown, place: string): void {
  if (typeof expected === 'number') {
    const tolerance = 1e-6 + 1e-5 * Math.abs(expected);
    assert.ok(Math.abs((actual as number) - expected) <= tolerance, `${place}: ${actual}, not ${expected}`);
    return;
  }
  const [a, e] = [actual as Record<string, unknown>, expected as Record<string, unknown>];
  assert.deepEqual(Object.keys(a), Object.keys(e), place);
  for (const key of Object.keys(e)) assertNear(a[key], e[key], `${place}.${key}`);
}

async function assertAsPyTorch(program: string): Promise<void> {
  const outcomes = await runRanks(program, 2);
  for (const [rank, outcome] of outcomes.entries()) {
    assert.equal(outcome?.error, undefined);
    const { buckets, ...run } = outcome!.result as unknown as Run & { buckets: number[] };
    // What the two ranks have in common is common to the last bit.
    if (rank > 0) assert.deepEqual(run.end, outcomes[0]?.result?.end);
    assert.ok(buckets.length > 1, 'several buckets');
    assert.equal(
      buckets.reduce((sum, n) => sum + n),
      6,
    );
    assertNear(run, recorded[rank], `rank ${rank}`);
  }
}

test('start, gradients, weights and statistics are those of PyTorch on two ranks', () =>
  assertAsPyTorch('dataParallel'));

test('the same with backward on a thread of its own, as with a GPU', () =>
  assertAsPyTorch('dataParallelOnThread'));

test('unused parameters are found, or named', async () => {
  const outcomes = await runRanks('unused', 2);
  const results = outcomes.map((outcome) => (outcome?.result?.found ?? []) as [Numbers, string]);
  for (const [rank, [found, message]] of results.entries()) {
    // Rank 1 used `first` alone, so half of the mean is what rank 0 has of the others.
    assertNear(
      [found['first.bias'], found['second.bias']],
      [
        [2, 2, 2, 2],
        [2, 2],
      ],
      'gradients',
    );
    assert.equal(
      message,
      `rank ${rank}: the step before gave no gradient to norm.weight, norm.bias, second.weight, second.bias, ` +
        "so the ranks' gradients were not averaged",
    );
  }
  assert.deepEqual(results[0]?.[0], results[1]?.[0]);
});

test('models that differ are refused on every rank, with both shapes', async () => {
  for (const outcome of await runRanks('otherShapes', 2)) {
    assert.deepEqual(outcome, {
      error: {
        code: 'VALUE',
        message:
          'the model is not the same on all ranks: first.weight is float32 [4, 3], strides [3, 1] on rank 0, ' +
          'float32 [6, 3], strides [3, 1] on rank 1',
        hint: 'build the same model on every rank, before it is wrapped',
      },
    });
  }
});
