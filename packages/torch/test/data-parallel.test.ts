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

interface Recorded {
  dataParallel: Run[];
  compressed: Record<'float16' | 'bfloat16', Numbers>;
}

const { dataParallel: recorded, compressed } = fixture<Recorded>('distributed.json');

function assertNear(actual: unknown, expected: unknown, place: string, relative = 1e-5): void {
  if (typeof expected === 'number') {
    const tolerance = 1e-6 + relative * Math.abs(expected);
    assert.ok(Math.abs((actual as number) - expected) <= tolerance, `${place}: ${actual}, not ${expected}`);
    return;
  }
  const [a, e] = [actual as Record<string, unknown>, expected as Record<string, unknown>];
  assert.deepEqual(Object.keys(a), Object.keys(e), place);
  for (const key of Object.keys(e)) assertNear(a[key], e[key], `${place}.${key}`, relative);
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

test('compressed gradients are those of the hooks of PyTorch, the same on both ranks', async () => {
  const [zero, one] = await runRanks('compressed', 2);
  assert.equal(zero?.error, undefined);
  assert.deepEqual(one, zero);
  const { float16, bfloat16 } = zero!.result as typeof compressed;
  // One unit in the last place, where the gradients before were a bit apart.
  assertNear(float16, compressed.float16, 'float16', 2 ** -10);
  assertNear(bfloat16, compressed.bfloat16, 'bfloat16', 2 ** -7);
  // They are numbers of those dtypes: 10 and 7 bits after the first.
  for (const [numbers, bits] of [
    [float16, 10],
    [bfloat16, 7],
  ] as const) {
    const units = Object.values(numbers)
      .flat()
      .filter((x) => Math.abs(x) > 1e-3)
      .map((x) => (x / 2 ** Math.floor(Math.log2(Math.abs(x)))) * 2 ** bits);
    assert.ok(units.length > 20 && units.every(Number.isInteger));
  }
});

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
