import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runRanks } from './ranks.ts';

test('collectives give every rank what they should', async () => {
  const outcomes = await runRanks('collectives', 3);
  for (const [rank, outcome] of outcomes.entries()) {
    assert.deepEqual(outcome, {
      result: {
        reduced: { sum: [6, 60], avg: [2, 20], product: [6, 6000], min: [1, 10], max: [3, 30] },
        // 6, 7 and 8; 12 thrice
        bits: { band: [0, 12], bor: [15, 12], bxor: [9, 12] },
        halves: { float16: [6, 6], bfloat16: [6, 6], float64: [6, 6], int64: [6, 6] },
        broadcast: [2, 20],
        reduce: rank === 0 ? [6, 60] : null,
        allGather: [
          [1, 10],
          [2, 20],
          [3, 30],
        ],
        gather:
          rank === 1
            ? [
                [1, 10],
                [2, 20],
                [3, 30],
              ]
            : null,
        scatter: [100 + rank],
        reduceScatter: [6 * (rank + 1)],
        allToAll: [[rank], [10 + rank], [20 + rank]],
        passed: [(rank + 2) % 3],
        subgroup: rank === 1 ? null : { rank: rank / 2, values: [4, 40] },
        objects: [
          { rank: 0, text: '' },
          { rank: 1, text: 'é' },
          { rank: 2, text: 'éé' },
        ],
        awaited: [6, 60],
        turnsWhileWaiting: rank === 0 ? null : true,
        initialized: false,
      },
    });
  }
});

test('a store shares keys, and is free while one is awaited', async () => {
  const [master, other] = await runRanks('store', 2);
  const both = { count: true, late: [1, 2, 3], sum: 3, missing: 'did not come' };
  assert.deepEqual(master?.result, {
    ...both,
    other: 'other',
    swapped: 'first',
    kept: 'first',
    deleted: [true, false, false],
  });
  assert.deepEqual(other?.result, { ...both, other: 'master', swapped: null, kept: null, deleted: null });
});

test('what a collective cannot take is refused before any rank waits', async () => {
  const expected = {
    transposed: 'allReduce: the tensor must be contiguous, got shape [3, 2], strides [1, 3]',
    whole: 'allReduce: avg takes floating-point tensors, got int64',
    outside: 'rank 5 is not in the group of 0, 1',
    twice: 'trying to initialize the default process group twice',
  };
  for (const outcome of await runRanks('refused', 2)) assert.deepEqual(outcome, { result: expected });
});
