import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RankOutcome, runRanks } from './ranks.ts';

/** Times, addresses and how a dead peer shows differ from run to run; the rest of the message is asserted whole. */
const error = (outcome: RankOutcome | undefined) => ({
  code: outcome?.error?.code,
  lines: outcome?.error?.message
    .replace(/waited [\d.]+ s/, 'waited … s')
    .replace(/^ {2}(?:Connection closed|Read error|Write error|writev).*$/m, '  connection lost')
    .replace(/for (send|recv) operation/, 'for … operation')
    .split('\n'),
});

test('a timeout says which rank is where', async () => {
  const [zero, one, two] = await runRanks('late', 3);
  const told = (rank: number, other: number) => ({
    code: 'DISTRIBUTED_TIMEOUT',
    lines: [
      `allReduce of float32 [2, 3], sum (#2) on rank ${rank} of 3 waited … s in vain:`,
      '  rank 1: has not entered it; the last it entered is barrier (#1)',
      `  in it too: rank ${other}`,
      '  Timed out waiting 2000ms for … operation to complete',
    ],
  });
  assert.deepEqual(error(zero), told(0, 2));
  assert.deepEqual(error(two), told(2, 0));
  assert.deepEqual(one, { result: {} });
});

test('ranks in different collectives are told of each other', async () => {
  const [zero, one] = await runRanks('mismatch', 2);
  const reason = '  Timed out waiting 2000ms for … operation to complete';
  assert.deepEqual(error(zero).lines?.slice(0, 2), [
    'allReduce of float32 [2], sum (#1) on rank 0 of 2 waited … s in vain:',
    '  rank 1: has entered broadcast of float32 [3], from rank 0 (#1) instead',
  ]);
  assert.equal(error(zero).lines?.[2], reason);
  assert.match(
    error(one).lines?.[0] ?? '',
    /^broadcast of float32 \[3\], from rank 0 \(#1\) on rank 1 of 2 /,
  );
});

test('a killed rank ends what the others wait for, at once', async () => {
  const [zero, one, two] = await runRanks('killed', 3);
  const told = (rank: number, other: number) => ({
    code: 'DISTRIBUTED_PEER_LOST',
    lines: [
      `allReduce of float32 [4], sum (#2) on rank ${rank} of 3 lost the connection to another rank:`,
      '  rank 1: has not entered it; the last it entered is barrier (#1)',
      `  in it too: rank ${other}`,
      '  connection lost',
    ],
  });
  assert.deepEqual(error(zero), told(0, 2));
  assert.deepEqual(error(two), told(2, 0));
  assert.deepEqual(one, {});
});

test('when the rank with the store is killed, the others say what they know', async () => {
  const [, one] = await runRanks('storeKilled', 2);
  const { code, lines } = error(one);
  assert.equal(code, 'DISTRIBUTED_PEER_LOST');
  // How the store's connection ends depends on what was under way; the reason is one line.
  const silent = '  the store, which rank 0 serves, does not answer: ';
  assert.ok(lines?.[1]?.startsWith(silent) && lines[1].length > silent.length, lines?.[1]);
  assert.deepEqual(
    [lines?.[0], ...(lines?.slice(2) ?? [])],
    [
      'allReduce of float32 [4], sum (#2) on rank 1 of 2 lost the connection to another rank:',
      '  connection lost',
    ],
  );
});

test('a rank lost during backward is told of as in any collective', async () => {
  const [zero] = await runRanks('lostInBackward', 2);
  assert.deepEqual(error(zero), {
    code: 'DISTRIBUTED_PEER_LOST',
    lines: [
      'allReduce of float32 [34], sum (#21) on rank 0 of 2 lost the connection to another rank:',
      '  rank 1: has not entered it; the last it entered is broadcast of int64 [], from rank 0 (#20)',
      '  connection lost',
    ],
  });
});
