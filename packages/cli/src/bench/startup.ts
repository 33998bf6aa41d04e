import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MezzoError } from '@mezzo/libtorch';
import type { BenchRow } from './report.ts';
import { peerModel, SideProcess } from './side-process.ts';
import { alternate, type BenchOptions, requireData, row, type Suite } from './suite.ts';

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));
/** How often the log of a run is looked at. */
const LOOK_MS = 5;

/** Seconds from the start of `mezzo train` to the end of its first step, with everything cached. */
export const startup: Suite = {
  name: 'startup',
  about: 'from the start of mezzo train to its first step, caches warm, against the reference',
  size: { imgsz: 320, batch: 16 },
  async run(options) {
    const data = await requireData('startup', options);
    const { peerPython, rounds, note } = options;
    note('warming up: caches of labels and of the preflight');
    await firstStep(options, data);
    const starts: number[] = [];
    const steps: number[] = [];
    const ours = async () => {
      const { start, step } = await firstStep(options, data);
      starts.push(start);
      steps.push(step);
      return [step];
    };
    const rows: BenchRow[] = [];
    if (peerPython === null) {
      for (let round = 0; round < rounds; round++) await ours();
    } else {
      note('against Python');
      const kept = mkdtempSync(path.join(tmpdir(), 'mezzo-bench-'));
      const theirs = () => peerFirstStep(options, peerPython, data, kept);
      try {
        await theirs();
        const samples = await alternate(rounds, ours, theirs);
        const sides = { a: 'Mezzo, mezzo train', b: 'Ultralytics, YOLO.train' };
        rows.push(row('first step: Mezzo / Python', 's', sides, samples));
      } finally {
        rmSync(kept, { recursive: true });
      }
    }
    const sides = { a: 'first step done', b: 'start event: all is prepared' };
    return [row('mezzo train: first step / start', 's', sides, { a: steps, b: starts }), ...rows];
  },
};

/** Seconds from the start of the process to its start event, and to the first step in its log; then it is killed. */
async function firstStep(
  { model, imgsz, batch }: BenchOptions,
  data: string,
): Promise<{ start: number; step: number }> {
  const project = mkdtempSync(path.join(tmpdir(), 'mezzo-bench-'));
  const log = path.join(project, 'run', 'events.jsonl');
  const settings = {
    model,
    data,
    imgsz,
    batch,
    device: 'cpu',
    epochs: 1,
    plots: false,
    project,
    name: 'run',
  };
  const words = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  const begun = performance.now();
  const child = spawn(process.execPath, [MAIN, 'train', ...words, '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const since = () => (performance.now() - begun) / 1000;
  const closed = new Promise((resolve) => child.once('close', resolve));
  let start: number | undefined;
  let lines = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    start ??= since();
    lines += text;
  });
  try {
    for (;;) {
      if (existsSync(log) && readFileSync(log, 'utf8').includes('"event":"step"')) break;
      if (child.exitCode !== null) {
        await closed;
        const told = /"message":("(?:[^"\\]|\\.)*")/.exec(lines)?.[1];
        const reason = told === undefined ? `exit code ${child.exitCode}` : (JSON.parse(told) as string);
        throw new MezzoError('PEER_FAILED', `mezzo train ended before its first step: ${reason}`);
      }
      await sleep(LOOK_MS);
    }
    const step = since();
    return { start: start ?? step, step };
  } finally {
    child.kill('SIGKILL');
    await closed;
    rmSync(project, { recursive: true });
  }
}

/** The peer says that it is ready when its first step is done. */
async function peerFirstStep(
  { model, imgsz, batch }: BenchOptions,
  python: string,
  data: string,
  kept: string,
): Promise<number[]> {
  const set = ['--data', data, '--kept', kept];
  const words = ['--model', peerModel(model), ...set, '--imgsz', imgsz, '--batch', batch];
  const begun = performance.now();
  const side = await SideProcess.python(python, 'startup.py', words.map(String));
  const seconds = (performance.now() - begun) / 1000;
  await side.stop();
  return [seconds];
}
