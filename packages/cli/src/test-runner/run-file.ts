import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestFile } from './files.ts';
import type { TestLine } from './reporter.ts';

const REPORTER = fileURLToPath(new URL('./reporter.js', import.meta.url));
const MINUTE = 60_000;

export interface FileResult {
  readonly file: TestFile;
  readonly seconds: number;
  readonly tests: readonly TestLine[];
  /** What the file wrote to its terminal, kept for a failure. */
  readonly output: string;
}

/**
 * Runs one test file in its own process, with one compute thread unless OMP_NUM_THREADS says otherwise. A process
 * that ends badly without a failed test counts as one failed test, and so does one that runs over its time.
 */
export async function runTestFile(file: TestFile, signal: AbortSignal): Promise<FileResult> {
  const folder = await mkdtemp(join(tmpdir(), 'mezzo-test-'));
  const lines = join(folder, 'lines');
  const limit = (file.long ? 60 : 15) * MINUTE;
  const started = performance.now();
  try {
    const child = spawn(
      process.execPath,
      [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${lines}`, file.path],
      {
        env: { ...process.env, OMP_NUM_THREADS: process.env.OMP_NUM_THREADS ?? '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
        signal,
        timeout: limit,
        killSignal: 'SIGKILL',
      },
    );
    const parts: Buffer[] = [];
    child.stdout.on('data', (part: Buffer) => parts.push(part));
    child.stderr.on('data', (part: Buffer) => parts.push(part));
    const [code, ended] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status, by) => resolve([status, by]));
    });
    const seconds = (performance.now() - started) / 1000;
    const tests = await readLines(lines);
    const output = Buffer.concat(parts).toString('utf8');
    if (code !== 0 && !tests.some(({ outcome }) => outcome === 'failed')) {
      const late = ended === 'SIGKILL' && seconds * 1000 >= limit;
      const why = late
        ? `ran longer than ${limit / MINUTE} minutes`
        : `ended with ${ended ?? `exit code ${code}`}`;
      tests.push({ name: 'the whole file', outcome: 'failed', text: `the process ${why}` });
    }
    return { file, seconds, tests, output };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readLines(path: string): Promise<TestLine[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TestLine);
}
