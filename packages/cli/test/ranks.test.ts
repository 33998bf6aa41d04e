import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { mezzo, type Outcome, ROOT } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-ranks-'));
const ENV = { OMP_NUM_THREADS: '1' };
const SMALL = [
  'data=shapes/data.yaml',
  'device=cpu',
  'ranks=2',
  'imgsz=64',
  'batch=4',
  'workers=0',
  'plots=false',
  'amp=false',
];

before(async () => {
  const { code } = await here('data', 'shapes', '--out', 'shapes', 'train=8', 'val=2', 'imgsz=64');
  assert.equal(code, 0);
});
after(() => rmSync(folder, { recursive: true }));

function here(...words: string[]): Promise<Outcome> {
  return mezzo(words, ENV, folder);
}
type Line = Record<string, unknown>;

interface Job {
  readonly events: Line[];
  readonly code: number;
  readonly stderr: string;
}

/** Trains for so long that only `stop`, called after the first epoch with the supervisor's process, ends it. */
async function stopped(name: string, stop: (supervisor: number) => void): Promise<Job> {
  const words = ['train', ...SMALL, 'epochs=500', `name=${name}`, '--json'];
  const child = spawn(`${ROOT}mezzo`, words, { cwd: folder, env: { ...process.env, ...ENV } });
  const events: Line[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line) as Line;
    events.push(event);
    if (event.event === 'epoch' && event.epoch === 1) stop(child.pid!);
  });
  let stderr = '';
  child.stderr.on('data', (part: Buffer) => {
    stderr += part.toString();
  });
  const code = await new Promise<number>((resolve) => child.once('close', resolve));
  return { events, code, stderr };
}

/** Processes that a process has started, in the order of their start. */
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);

test('train ranks=2: one start, each epoch once, done', async () => {
  const { code, stdout } = await here('train', ...SMALL, 'epochs=1', 'name=two', '--json');
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['start', 'epoch', 'done'],
  );
  assert.equal(code, 0);
  assert.equal(events[0]!.ranks, 2);
  assert.match(events[0]!.machine as string, /, 2 ranks of 1 thread, LibTorch /);
  assert.equal(events[0]!.saveDir, join(folder, 'runs', 'detect', 'two'));
});

test('a rank that is killed ends the job with one error, from which it goes on', async () => {
  const { events, code } = await stopped('killed', (supervisor) => {
    process.kill(childrenOf(supervisor)[1]!, 'SIGKILL');
  });
  assert.equal(code, 1);
  const error = events.at(-1)!;
  assert.equal(error.code, 'RANK_LOST');
  assert.match(
    error.message as string,
    /^rank 1 \(process \d+ on \S+\) was killed by SIGKILL in epoch \d+ of 500, after step \d of 2\n {2}rank 0 of 2 on \S+, epoch \d+ of 500, after step \d of 2: \w+ of [^\n]* on rank 0 of 2 lost the connection to another rank:\n {4}(rank 1: |in it too: rank 1)/,
  );
  const last = join(folder, 'runs', 'detect', 'killed', 'weights', 'last.safetensors');
  assert.ok((error.hint as string).endsWith(`continue with: mezzo train resume=${last} ranks=2`));
});

test('Ctrl-C saves and stops all ranks', async () => {
  const { events, code } = await stopped('interrupted', (supervisor) => process.kill(supervisor, 'SIGINT'));
  assert.equal(code, 130);
  const { code: name, message } = events.at(-1)!;
  assert.equal(name, 'INTERRUPTED');
  assert.match(message as string, /^training was interrupted (after|in) epoch \d+ of 500$/);
});

test('a batch that cannot be divided, and several GPUs', async () => {
  const odd = await here('train', ...SMALL, 'batch=5');
  assert.equal(odd.code, 2);
  assert.equal(
    odd.stderr,
    'error: batch=5 cannot be divided among ranks=2\n' +
      'hint:  batch is the number of pictures of all ranks together: batch=4 or batch=6\n',
  );
  const cards = await here('train', 'data=shapes/data.yaml', 'device=0,1');
  assert.equal(cards.code, 2);
  assert.equal(
    cards.stderr,
    'error: device=0,1: training on several GPUs takes NCCL, which Mezzo is not built with: give one, or device=cpu ' +
      'ranks=2\n',
  );
});

test('under a launcher: its processes are the ranks, and a port in use is bad input', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const env = { ...ENV, RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(port) };
  const words = ['train', ...SMALL.filter((word) => word !== 'ranks=2'), 'timeout=20'];
  const { code, stderr } = await mezzo(words, env, folder);
  server.close();
  assert.equal(code, 2);
  assert.ok(
    stderr.endsWith(
      `error: the store cannot be served on port ${port}: it is in use\n` +
        'hint:  end the run that holds it, or choose another port (MASTER_PORT)\n',
    ),
    stderr,
  );
});
