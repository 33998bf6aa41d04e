import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nn, randn } from '../src/index.ts';
import { runRanks } from './ranks.ts';

const run = async <T>(program: string): Promise<T[]> => {
  const outcomes = await runRanks(program, 2, { file: 'rank-sync-batch-norm' });
  return outcomes.map((outcome) => {
    assert.equal(outcome?.error, undefined);
    return outcome!.result as T;
  });
};

const FLOAT32 = 1e-5;
/** One unit in the last place of the largest number of a tensor, for what is a bfloat16. */
const TOLERANCES: Record<string, Record<string, number>> = {
  float64: { default: 1e-14 },
  bfloat16: { default: FLOAT32, output: 2 ** -7, input: 2 ** -7, evaluation: 2 ** -7 },
};

test('on two ranks it is BatchNorm over the samples of both', async () => {
  for (const [rank, cases] of (await run<Record<string, Record<string, number>>>('layers')).entries()) {
    assert.equal(Object.keys(cases).length, 9);
    for (const [name, distances] of Object.entries(cases)) {
      assert.ok(Object.keys(distances).length >= 3);
      for (const [what, distance] of Object.entries(distances)) {
        const tolerances = TOLERANCES[name];
        const tolerance = tolerances?.[what] ?? tolerances?.default ?? FLOAT32;
        assert.ok(distance <= tolerance, `rank ${rank}, ${name}, ${what}: ${distance}`);
      }
    }
  }
});

interface Training {
  gap: number;
  apart: number;
  low: number[];
  statistics: number;
  names: string[];
  text: string;
}

test('two ranks with 8 samples each train as one with 16', async () => {
  for (const { gap, apart, low, statistics, names, text } of await run<Training>('training')) {
    assert.ok(gap < 1e-5, `losses of ten steps are ${gap} apart`);
    assert.ok(apart > 1e-3, `with BatchNorm of each rank's own samples they were ${apart} apart`);
    assert.ok(Math.abs(low[1]! / low[0]! - 1) < 1e-2, `in bfloat16 the last losses are ${low.join(', ')}`);
    assert.ok(statistics < 1e-5, `running statistics are ${statistics} apart`);
    assert.equal(names.filter((name) => name === 'SyncBatchNorm').length, 2);
    assert.equal(names.filter((name) => name === 'BatchNorm2d').length, 0);
    assert.equal(
      text,
      'SyncBatchNorm(8, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)',
    );
  }
});

test('converting keeps parameters, statistics, mode and shared layers', () => {
  const shared = new nn.BatchNorm1d(3, { eps: 0.1, momentum: null, affine: false });
  const list = new nn.ModuleList([shared, new nn.Sequential(shared, new nn.BatchNorm1d(3).eval())]);
  const names = Object.keys(list.stateDict());
  const parameters = list.parameters();
  const converted = nn.SyncBatchNorm.convertSyncBatchnorm(list);
  assert.equal(converted, list);
  const [first, second] = list as Iterable<nn.Module> as [nn.SyncBatchNorm, nn.Sequential];
  assert.ok(first instanceof nn.SyncBatchNorm);
  assert.equal(second.at(0), first);
  assert.equal(first.runningMean, shared.runningMean);
  assert.deepEqual([first.eps, first.momentum, first.affine], [0.1, null, false]);
  assert.equal(second.at(1).training, false);
  assert.deepEqual(Object.keys(list.stateDict()), names);
  assert.deepEqual(list.parameters(), parameters);
  const alone = nn.SyncBatchNorm.convertSyncBatchnorm(new nn.BatchNorm1d(3)) as nn.SyncBatchNorm;
  assert.ok(alone instanceof nn.SyncBatchNorm);
  // Without a group it is BatchNorm.
  assert.deepEqual(alone.forward(randn([4, 3])).shape, [4, 3]);
  assert.throws(() => alone.forward(randn([3])), {
    code: 'VALUE',
    message: 'expected at least 2D input (got 1D input)',
  });
});
