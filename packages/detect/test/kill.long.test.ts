import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import { generateShapes, type TrainOptions } from '../src/index.ts';
import { comparableRows } from './comparable-rows.ts';
import { equalTensors } from './equal-tensors.ts';

const KILLS = 20;
const EPOCHS = 6;
const SCRIPT = fileURLToPath(new URL('./train-process.js', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-kill-'));

const fresh = (name: string): TrainOptions => ({
  data: path.join(folder, 'shapes', 'data.yaml'),
  project: folder,
  name,
  exist_ok: true,
  epochs: EPOCHS,
  imgsz: 64,
  batch: 4,
  workers: 2,
  plots: false,
  close_mosaic: 2,
  nbs: 8,
  amp: 'fp32',
  device: 'cpu',
});

const weightsOf = (name: string) => path.join(folder, name, 'weights');
const last = (name: string) => path.join(weightsOf(name), 'last.safetensors');

function start(options: TrainOptions): ChildProcess {
  const env = { ...process.env, OMP_NUM_THREADS: '1' };
  return spawn(process.execPath, [SCRIPT, JSON.stringify(options)], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

/** How the process ended: its exit code, or the signal that killed it, and what it wrote to stderr. */
function ended(child: ChildProcess): Promise<{ code: number | null; stderr: string }> {
  let stderr = '';
  child.stderr!.on('data', (text) => {
    stderr += text;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr })));
}

let wholeSeconds = 0;

before(async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 14, val: 4, imgsz: 64, seed: 1 });
  const begun = performance.now();
  const { code, stderr } = await ended(start(fresh('whole')));
  assert.equal(code, 0, stderr);
  wholeSeconds = (performance.now() - begun) / 1000;
});

after(() => rmSync(folder, { recursive: true, force: true }));

/** Kills the child in the middle of writing a checkpoint: when its temporary file appears. */
function killDuringWrite(child: ChildProcess, weights: string, delay: number): () => void {
  const watcher = watch(weights, (_, file) => {
    if (file?.includes('tmp')) setTimeout(() => child.kill('SIGKILL'), delay);
  });
  return () => watcher.close();
}

test(`a run that is killed at ${KILLS} moments always leaves a loadable checkpoint and ends with the same weights`, async (t) => {
  let kills = 0;
  let runs = 0;
  let duringWrite = 0;
  let beforeFirst = 0;
  while (kills < KILLS) {
    const name = `killed${runs++}`;
    for (let done = false; !done; ) {
      const resumable = existsSync(last(name));
      const child = start(resumable ? { resume: last(name) } : fresh(name));
      const end = ended(child);
      let stop = () => {};
      if (kills < KILLS) {
        const inWrite = resumable && kills % 3 === 2;
        if (inWrite) stop = killDuringWrite(child, weightsOf(name), Math.random() * 8);
        else {
          const timer = setTimeout(() => child.kill('SIGKILL'), 200 + Math.random() * 500 * wholeSeconds);
          stop = () => clearTimeout(timer);
        }
        const { code } = await end;
        stop();
        if (code === null) {
          kills++;
          duringWrite += inWrite ? 1 : 0;
          beforeFirst += existsSync(last(name)) ? 0 : 1;
        }
      }
      const { code, stderr } = await end;
      if (code !== null) assert.equal(code, 0, stderr);
      done = code === 0;
      if (existsSync(last(name)))
        assert.ok((await readCheckpoint(last(name))).training, 'last has its training state');
    }
    const [whole, killed] = [await readCheckpoint(last('whole')), await readCheckpoint(last(name))];
    equalTensors(killed.weights, whole.weights);
    equalTensors(killed.training!.live, whole.training!.live);
    assert.deepEqual(comparableRows(path.join(folder, name)), comparableRows(path.join(folder, 'whole')));
  }
  t.diagnostic(
    `${kills} kills in ${runs} runs, ${duringWrite} during a write, ${beforeFirst} before the first checkpoint`,
  );
});

test('killed before its first checkpoint, a run has nothing to resume and says so', async () => {
  const child = start(fresh('early'));
  const end = ended(child);
  setTimeout(() => child.kill('SIGKILL'), 300);
  await end;
  assert.equal(existsSync(last('early')), false);
  const { code, stderr } = await ended(start({ resume: last('early') }));
  assert.equal(code, 1);
  assert.match(stderr, /resume: no such file/);
});
