import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';
import type { MezzoError } from '@mezzo/libtorch/errors';
import { failureOf, type RankEnd } from '../src/ranks/outcome.ts';

const end = (rank: number, more: Partial<RankEnd> = {}): RankEnd => ({
  rank,
  pid: 100 + rank,
  done: false,
  killed: false,
  step: { epoch: 2, epochs: 9, step: 3, steps: 5 },
  exitCode: 1,
  signalCode: null,
  ...more,
});
const failed = (rank: number, code: string, message: string, hint?: string) =>
  end(rank, { failure: { code, message, hint } });
const told = (ends: readonly RankEnd[]) => {
  const { code, message, hint } = failureOf(ends) as MezzoError;
  return { code, message, hint };
};

test('a job in which all ranks came to the end has no failure', () => {
  assert.equal(failureOf([end(0, { done: true, exitCode: 0 }), end(1, { done: true, exitCode: 0 })]), null);
});

test("a rank's own error comes before what it was for the others", () => {
  const ends = [
    failed(0, 'DISTRIBUTED_PEER_LOST', 'connection lost'),
    failed(1, 'NO_DATA', 'no data', 'get some'),
  ];
  assert.deepEqual(told(ends), { code: 'NO_DATA', message: 'rank 1: no data', hint: 'get some' });
});

test('what all ranks say alike needs no number', () => {
  const ends = [failed(0, 'BAD_DATA', 'bad'), failed(1, 'BAD_DATA', 'bad')];
  assert.deepEqual(told(ends), { code: 'BAD_DATA', message: 'bad', hint: undefined });
});

test('a rank that vanished is told with what another knows of it', () => {
  const ends = [
    failed(0, 'DISTRIBUTED_PEER_LOST', 'rank 0 of 2: allReduce lost\n  rank 1: has not entered it'),
    end(1, { exitCode: null, signalCode: 'SIGSEGV' }),
  ];
  assert.deepEqual(told(ends), {
    code: 'RANK_LOST',
    message:
      `rank 1 (process 101 on ${hostname()}) was killed by SIGSEGV in epoch 2 of 9, after step 3 of 5\n` +
      '  rank 0 of 2: allReduce lost\n    rank 1: has not entered it',
    hint: undefined,
  });
  const { message, hint } = told([end(0, { exitCode: null, signalCode: 'SIGKILL', step: null })]);
  assert.equal(message, `rank 0 (process 100 on ${hostname()}) was killed by SIGKILL before its first step`);
  assert.equal(
    hint,
    'the system kills processes when memory runs out (dmesg tells): each rank takes its own',
  );
});

test('a rank that the supervisor killed did not vanish: the one that waited for it tells why', () => {
  const ends = [
    failed(0, 'DISTRIBUTED_TIMEOUT', 'rank 0 of 2: waited in vain'),
    end(1, { killed: true, exitCode: null, signalCode: 'SIGKILL' }),
  ];
  assert.equal(told(ends).message, 'rank 0 of 2: waited in vain');
});

test('a timeout says more than a lost connection, and an interruption more than both', () => {
  const lost = failed(0, 'DISTRIBUTED_PEER_LOST', 'lost');
  const late = failed(1, 'DISTRIBUTED_TIMEOUT', 'late');
  assert.equal(told([lost, late]).message, 'late');
  assert.equal(told([lost, late, failed(2, 'INTERRUPTED', 'stopped')]).message, 'stopped');
});

test('a defect keeps its place', () => {
  const stack = 'Error: oops\n    at somewhere';
  const defect = failureOf([end(0, { failure: { code: 'INTERNAL', message: 'oops', stack } })]);
  assert.equal(defect?.stack, stack);
});
