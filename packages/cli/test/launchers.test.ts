import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environmentOf, launchedPlace } from '../src/ranks/launchers.ts';

const TORCHRUN = {
  RANK: '3',
  WORLD_SIZE: '4',
  LOCAL_RANK: '1',
  LOCAL_WORLD_SIZE: '2',
  MASTER_ADDR: 'node0',
  MASTER_PORT: '29500',
};
const SLURM = {
  SLURM_JOB_ID: '123456',
  SLURM_STEP_ID: '0',
  SLURM_PROCID: '5',
  SLURM_STEP_NUM_TASKS: '7',
  SLURM_LOCALID: '1',
  SLURM_NODEID: '2',
  SLURM_STEP_TASKS_PER_NODE: '2(x3),1',
  SLURM_STEP_NODELIST: 'gpu[03-05,9],other7',
};

const refusal = (env: NodeJS.ProcessEnv) => {
  try {
    return launchedPlace(env);
  } catch (error) {
    return (error as Error).message;
  }
};

test('torchrun', () => {
  const place = { rank: 3, size: 4, localRank: 1, localSize: 2, host: 'node0', port: 29500 };
  assert.deepEqual(launchedPlace(TORCHRUN), place);
  assert.deepEqual(environmentOf(place), TORCHRUN);
});

test('a Kubernetes training operator: no local variables', () => {
  const env = { RANK: '1', WORLD_SIZE: '2', MASTER_ADDR: 'job-master-0', MASTER_PORT: '23456' };
  const place = { rank: 1, size: 2, localRank: 0, localSize: 1, host: 'job-master-0', port: 23456 };
  assert.deepEqual(launchedPlace(env), place);
});

test('Slurm: the first node, and a port by the number of the job', () => {
  assert.deepEqual(launchedPlace(SLURM), {
    rank: 5,
    size: 7,
    localRank: 1,
    localSize: 2,
    host: 'gpu03',
    port: 23456,
  });
  const hosts = ['node7', 'a,b', 'n[1,3]', 'n-[10-12]-ib'].map(
    (list) => launchedPlace({ ...SLURM, SLURM_STEP_NODELIST: list })?.host,
  );
  assert.deepEqual(hosts, ['node7', 'a', 'n1', 'n-10-ib']);
  const own = launchedPlace({ ...SLURM, MASTER_ADDR: '10.0.0.1', MASTER_PORT: '29500' });
  assert.deepEqual([own?.host, own?.port], ['10.0.0.1', 29500]);
});

test('a process that stands alone, and one of a job of one', () => {
  assert.equal(launchedPlace({}), null);
  assert.equal(launchedPlace({ RANK: '0' }), null);
  // A batch script has the job's variables, and is no task of it.
  const { SLURM_STEP_ID: _, ...batch } = SLURM;
  assert.equal(launchedPlace(batch), null);
  assert.equal(launchedPlace({ ...TORCHRUN, RANK: '0', WORLD_SIZE: '1' }), null);
});

test('variables that are missing or make no sense', () => {
  assert.equal(
    refusal({ RANK: '0', WORLD_SIZE: '2', MASTER_PORT: '29500' }),
    'the launcher of this process did not set MASTER_ADDR',
  );
  assert.equal(refusal({ ...TORCHRUN, WORLD_SIZE: 'two' }), 'WORLD_SIZE=two: expected a number');
  assert.equal(refusal({ ...TORCHRUN, RANK: '4' }), 'RANK=4, and WORLD_SIZE=4: ranks count from 0');
});
