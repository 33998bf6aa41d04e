import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { withLock } from '../src/lock.ts';
import { temporaryFolder } from './fake-libtorch.ts';

const MODULE = new URL('../src/lock.js', import.meta.url).href;

/** A process that holds the lock while it appends `in` and `out` to a log. */
function worker(lock: string, log: string, milliseconds: number): Promise<number | null> {
  const script = `
    import { appendFileSync } from 'node:fs';
    import { setTimeout as sleep } from 'node:timers/promises';
    import { withLock } from '${MODULE}';
    await withLock('${lock}', async () => {
      appendFileSync('${log}', 'in ');
      await sleep(${milliseconds});
      appendFileSync('${log}', 'out ');
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  return new Promise((resolve) => child.on('close', resolve));
}

test('only one of several processes is inside at a time', async (t) => {
  const folder = temporaryFolder(t);
  const [lock, log] = [path.join(folder, 'lock'), path.join(folder, 'log')];
  const codes = await Promise.all([1, 2, 3].map(() => worker(lock, log, 50)));
  assert.deepEqual(codes, [0, 0, 0]);
  assert.equal(readFileSync(log, 'utf8'), 'in out in out in out ');
  assert.deepEqual(readdirSync(folder), ['log']);
});

test('the lock of a process that is gone is taken over at once', async (t) => {
  const lock = path.join(temporaryFolder(t), 'lock');
  const { pid } = spawnSync('true');
  writeFileSync(lock, JSON.stringify({ pid, host: hostname(), token: 'dead' }));
  const waited: unknown[] = [];
  assert.equal(
    await withLock(
      lock,
      async () => 'done',
      (holder) => waited.push(holder),
    ),
    'done',
  );
  assert.deepEqual(waited, []);
});

test('a lock of another host counts until it has been silent for a minute', async (t) => {
  const lock = path.join(temporaryFolder(t), 'lock');
  const holder = { pid: 1, host: 'elsewhere', token: 'remote' };
  writeFileSync(lock, JSON.stringify(holder));
  const silent = () => {
    const past = new Date(Date.now() - 61_000);
    utimesSync(lock, past, past);
  };
  const waited: unknown[] = [];
  const result = await withLock(
    lock,
    async () => 'done',
    (present) => {
      waited.push(present);
      silent();
    },
  );
  assert.equal(result, 'done');
  assert.deepEqual(waited, [holder]);
});

test('the lock is released when the work fails', async (t) => {
  const folder = temporaryFolder(t);
  const lock = path.join(folder, 'lock');
  await assert.rejects(
    withLock(lock, async () => {
      throw new Error('the work failed');
    }),
    { message: 'the work failed' },
  );
  assert.deepEqual(readdirSync(folder), []);
});
