import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { distributed } from '../src/index.ts';
import { freePort, runRanks } from './ranks.ts';

test('a rank that does not come is named by those that wait', async () => {
  const outcomes = await runRanks('alone', 3, { only: [0, 2] });
  for (const [rank, seconds] of [
    [0, 4.5],
    [2, 1.5],
  ] as const) {
    assert.deepEqual(outcomes[rank], {
      error: {
        code: 'DISTRIBUTED_TIMEOUT',
        message: `rank ${rank} of 3 waited ${seconds} s for rank 1`,
        hint: 'start every rank, with the same address, port and world size',
      },
    });
  }
});

test('a group that was left can be begun again on the same port', async () => {
  assert.deepEqual(await runRanks('again', 1), [{ result: { sums: [[1], [2]] } }]);
});

test('when rank 0 gives up first, the others say so at once', async () => {
  const [, , other] = await runRanks('endsFirst', 3, { only: [0, 2] });
  assert.deepEqual(other, {
    error: {
      code: 'DISTRIBUTED_PEER_LOST',
      message: 'rank 2 of 3 waited for the others, and rank 0 has ended',
      hint: "rank 0's own error says why",
    },
  });
});

test('without rank 0 there is no store', async () => {
  const port = await freePort();
  const [, other] = await runRanks('alone', 2, { only: [1], port });
  assert.deepEqual(other, {
    error: {
      code: 'DISTRIBUTED_TIMEOUT',
      message: `no store answered at 127.0.0.1:${port} within 1.5 s`,
      hint: 'rank 0 serves it: is it running, with this MASTER_ADDR and MASTER_PORT?',
    },
  });
});

test('ranks of different versions are refused, with both', async () => {
  const error = {
    code: 'VALUE',
    message: 'Mezzo is 0.1.0 on rank 0, 0.2.0 on rank 2',
    hint: 'install the same versions for every rank',
  };
  assert.deepEqual(await runRanks('otherVersions', 4), [{ error }, { result: {} }, { error }, { error }]);
});

test('a port in use is said to be', async () => {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  try {
    const [first] = await runRanks('alone', 2, { only: [0], port });
    assert.deepEqual(first, {
      error: {
        code: 'PORT_IN_USE',
        message: `the store cannot be served on port ${port}: it is in use`,
        hint: 'end the run that holds it, or choose another port (MASTER_PORT)',
      },
    });
  } finally {
    server.close();
  }
});

test('what is missing for a meeting is named before anything opens', async () => {
  const { RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT } = process.env;
  for (const name of ['RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT']) delete process.env[name];
  const begin = (options: distributed.InitProcessGroupOptions) => distributed.initProcessGroup(options);
  try {
    const refusals: [distributed.InitProcessGroupOptions, string][] = [
      [{}, 'initProcessGroup: env:// needs RANK in the environment'],
      [{ rank: 0 }, 'initProcessGroup: env:// needs WORLD_SIZE in the environment'],
      [{ rank: 0, worldSize: 2 }, 'initProcessGroup: env:// needs MASTER_ADDR in the environment'],
      [{ initMethod: 'tcp://a:1', rank: 0 }, 'initProcessGroup: tcp:// needs the option worldSize'],
      [{ initMethod: 'file:///tmp/x' }, 'initMethod: expected env:// or tcp://host:port, got file:///tmp/x'],
      [{ initMethod: 'tcp://a:1', rank: 2, worldSize: 2 }, 'the rank must be from 0 to 1, got 2'],
      [{ initMethod: 'tcp://a:70000', rank: 0, worldSize: 2 }, 'the port must be at most 65535, got 70000'],
    ];
    for (const [options, message] of refusals) {
      await assert.rejects(begin(options), { name: 'DistributedError', code: 'VALUE', message });
    }
    process.env.RANK = 'first';
    await assert.rejects(begin({}), { code: 'VALUE', message: 'RANK must be a number, got "first"' });
    assert.throws(() => distributed.getRank(), {
      code: 'DISTRIBUTED',
      message: 'no process group: await initProcessGroup() first',
    });
  } finally {
    delete process.env.RANK;
    Object.assign(
      process.env,
      Object.fromEntries(
        Object.entries({ RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT }).filter(
          ([, value]) => value !== undefined,
        ),
      ),
    );
  }
});
