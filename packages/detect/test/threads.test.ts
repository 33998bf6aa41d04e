import assert from 'node:assert/strict';
import { test } from 'node:test';
import { availableCores } from '@mezzo/libtorch';
import { getNumThreads } from '@mezzo/torch';
import { ThreadTrial } from '../src/engine/threads.ts';

test('the first steps of a run are taken with half of the cores and more, the rest with the fastest number', () => {
  const verdicts: { threads: number; seconds: ReadonlyMap<number, number> }[] = [];
  const trial = new ThreadTrial((threads, seconds) => verdicts.push({ threads, seconds }));
  const used: number[] = [];
  while (verdicts.length === 0) {
    trial.beforeBatch();
    used.push(getNumThreads());
  }
  const [{ threads, seconds }] = verdicts as [(typeof verdicts)[0]];
  const tried = [...seconds.keys()];
  const cores = availableCores();
  assert.equal(tried[0], Math.ceil(cores / 2));
  assert.equal(tried.at(-1), cores);
  assert.deepEqual([...new Set(used.slice(0, -1))], tried);
  assert.ok(tried.every((count) => used.slice(0, -1).filter((each) => each === count).length <= 4));
  assert.equal(used.at(-1), threads);
  assert.equal(seconds.get(threads), Math.min(...seconds.values()));
  trial.beforeBatch();
  assert.equal(getNumThreads(), threads);
  assert.equal(verdicts.length, 1);
});
