import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RankOutcome, runRanks } from './ranks.ts';

const run = (program: string) => runRanks(program, 2, { file: 'rank-amp' });

/** What both ranks gave, which must be the same. */
async function inCommon<T>(program: string): Promise<T> {
  const [zero, one] = await run(program);
  assert.equal(zero?.error, undefined);
  assert.deepEqual(one, zero);
  return zero!.result as T;
}

interface Hundred {
  skipped: unknown[];
  bits: { scaler: { scale?: number } };
}

const INJECTED = [
  {
    at: 3,
    culprits: ['conv.bias', 'head.weight'],
    culpritsByRank: [{ rank: 1, culprits: ['conv.bias', 'head.weight'] }],
  },
  { at: 50, culprits: ['head.weight'], culpritsByRank: [{ rank: 1, culprits: ['head.weight'] }] },
  { at: 51, culprits: ['bn.weight'], culpritsByRank: [{ rank: 0, culprits: ['bn.weight'] }] },
];

for (const [program, scale] of [
  // 65536, halved at 3; doubled after 10, 20, 30 and 40 clean steps; halved at 50 and 51; doubled four times.
  ['hundredInFloat16', 65536 * 2 ** (-1 + 4 - 2 + 4)],
  ['hundredInBfloat16', undefined],
  ['hundredCompressed', 65536 * 2 ** (-1 + 4 - 2 + 4)],
] as const) {
  test(`after 100 steps with overflows on one rank all ranks are the same to the bit: ${program}`, async () => {
    const { skipped, bits } = await inCommon<Hundred>(program);
    assert.deepEqual(skipped, INJECTED);
    assert.equal(bits.scaler.scale, scale);
  });
}

test('a window that one rank breaks leaves every bit of every rank alone, decided by host or device', async () => {
  const [zero, one] = await run('rollback');
  const told = [1, 2, 3, 4].map((window) => ({
    window,
    applied: window !== 3,
    culpritsByRank: window === 3 ? [{ rank: 1, culprits: ['head.bias'] }] : [],
  }));
  for (const outcome of [zero, one]) {
    assert.equal(outcome?.error, undefined);
    const found = outcome!.result!.found as { bits: unknown }[];
    // A window of the two that were applied has counted its batch, the third has not.
    for (const { bits: _, ...each } of found) assert.deepEqual(each, { told, same: true, running: 2 });
  }
  const bits = (outcome: RankOutcome | undefined) =>
    (outcome!.result!.found as { bits: unknown }[]).map((each) => each.bits);
  assert.deepEqual(bits(one), bits(zero));
});

test('a forward pass that breaks on one rank is undone on all', async () => {
  const { found } = await inCommon<{ found: unknown[] }>('brokenForward');
  const parameters = ['conv.weight', 'conv.bias', 'bn.weight', 'bn.bias', 'head.weight', 'head.bias'];
  const culprits = [...parameters, 'bn.running_mean', 'bn.running_var'];
  const applied = { applied: true, culprits: [], culpritsByRank: [], scale: null };
  assert.deepEqual(found, [
    applied,
    { applied: false, culprits, culpritsByRank: [{ rank: 1, culprits }], scale: null },
    { applied: false, ranks: [0] },
    applied,
  ]);
});

test('what compression makes infinite is a skip, and is told of the rank that has it', async () => {
  const { found } = await inCommon<{ found: unknown[] }>('tooLargeForTheWire');
  assert.deepEqual(found, [
    { applied: false, culpritsByRank: [{ rank: 1, culprits: ['head.weight'] }] },
    { applied: true, culpritsByRank: [] },
  ]);
});

test('a window of several batches is one on all ranks', async () => {
  const { found } = await inCommon<{ found: unknown[] }>('accumulated');
  const applied = { applied: true, culprits: [], culpritsByRank: [] };
  assert.deepEqual(found, [
    { ...applied, scale: 65536 },
    {
      applied: false,
      culprits: ['conv.weight'],
      culpritsByRank: [{ rank: 0, culprits: ['conv.weight'] }],
      scale: 65536,
    },
    { ...applied, scale: 32768 },
  ]);
});

test("a computed scale goes by the largest of any rank's own gradients", async () => {
  const [zero, one] = (await run('computed')).map(
    (outcome) => outcome!.result as { own: number; measured: number; scales: number[] },
  );
  assert.notEqual(zero!.own, one!.own);
  for (const { measured, scales } of [zero!, one!]) {
    assert.equal(measured, Math.max(zero!.own, one!.own));
    // 65504 / 3, the source of rank 1; 65504 / 0.5, the calibration of rank 0
    assert.deepEqual(scales, [16384, 65536]);
  }
});

test('ranks with different loss scales are refused', async () => {
  const error = {
    code: 'VALUE',
    message: 'the loss scale is 1024 on rank 0, 2048 on rank 1',
    hint: "make every rank's GradScaler alike, and load the same state into each",
  };
  assert.deepEqual(await run('otherScales'), [{ error }, { error }]);
});

test('an overflow at the floor of the scale names rank and layer, on every rank', async () => {
  const message =
    'the loss scale is at its floor of 1 and the gradients still overflow on rank 1: head.weight';
  const told = (await run('atFloor')).map((outcome) => [outcome?.error?.code, outcome?.error?.message]);
  assert.deepEqual(told, [
    ['SCALE_FLOOR', message],
    ['SCALE_FLOOR', message],
  ]);
});

test('a GradScaler of a group skips on all ranks what overflows on one', async () => {
  const { found } = await inCommon<{ found: [number[], number][] }>('scalerAlone');
  const near = found.map(([weight, scale]) => [...weight.map((w) => Math.round(w * 1e6) / 1e6), scale]);
  const steps = [
    [0.9, 1.9, 65536],
    [0.9, 1.9, 32768],
    [0.8, 1.8, 32768],
  ];
  assert.deepEqual(near, [...steps, ...steps]);
});
