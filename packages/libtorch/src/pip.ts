import { spawn } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { MezzoError } from './errors.ts';
import type { InstallProgress } from './install.ts';
import { pipFailure } from './install-failure.ts';
import type { PinSet } from './pins.ts';

export interface PipRun {
  python: string;
  pins: PinSet;
  /** Folder to install into; must not exist yet. */
  site: string;
  /** Folder for pip's own files; must exist. */
  temporary: string;
  env: NodeJS.ProcessEnv;
  onProgress: (progress: InstallProgress) => void;
  signal?: AbortSignal;
}

const POLL_MS = 500;

// Every tag that a wheel for glibc 2.28 may carry: the pins use six of them, and pip compares them literally.
const PLATFORMS = [
  ...Array.from({ length: 24 }, (_, index) => `manylinux_2_${28 - index}_x86_64`),
  'manylinux2014_x86_64',
  'manylinux2010_x86_64',
  'manylinux1_x86_64',
];

// One Python tag whatever the host's: only the libraries inside the wheels are used.
const TARGET = [
  '--python-version',
  '3.12',
  '--implementation',
  'cp',
  '--abi',
  'cp312',
  '--only-binary=:all:',
];

/**
 * One `pip install --require-hashes --no-deps --target`, with the user's own index settings.
 * @throws {MezzoError} as {@link pipFailure} tells them apart; INTERRUPTED
 */
export async function pipInstall(request: PipRun): Promise<void> {
  const { python, pins, site, temporary, env, onProgress, signal } = request;
  const totalBytes = pins.downloadBytes;
  const args = ['-m', 'pip', 'install', '--no-deps', '--require-hashes', '-r', pins.file, '--target', site];
  args.push(...TARGET, ...PLATFORMS.flatMap((tag) => ['--platform', tag]));
  // Without the cache the wheels lie on the disk once, in a folder that was announced.
  args.push(
    '--no-compile',
    '--no-cache-dir',
    '--no-input',
    '--disable-pip-version-check',
    '--progress-bar',
    'off',
  );
  const child = spawn(python, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // These user settings contradict --target.
    env: { ...env, TMPDIR: temporary, PIP_USER: '0', PIP_REQUIRE_VIRTUALENV: '0', LC_ALL: 'C.UTF-8' },
    signal,
  });
  let output = '';
  let phase: 'download' | 'unpack' = 'download';
  const listen = (text: string) => {
    output += text;
    if (text.includes('Installing collected packages')) phase = 'unpack';
  };
  child.stdout.setEncoding('utf8').on('data', listen);
  child.stderr.setEncoding('utf8').on('data', listen);
  const report = () => {
    const bytes = phase === 'download' ? Math.min(downloadedBytes(temporary), totalBytes) : totalBytes;
    onProgress({ phase, bytes, totalBytes });
  };
  const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on('error', (error) => {
      // Stopped by the signal: its files must not be touched before it is gone.
      if (child.pid === undefined) reject(error);
    });
    child.on('close', (code, killedBy) => resolve([code, killedBy]));
  });
  report();
  const poll = setInterval(report, POLL_MS);
  try {
    const [code, killedBy] = await ended;
    if (signal?.aborted)
      throw new MezzoError('INTERRUPTED', 'the installation was stopped; nothing was installed');
    if (code !== 0) throw pipFailure(output, killedBy, path.dirname(path.dirname(temporary)), pins);
  } finally {
    clearInterval(poll);
  }
}

/**
 * pip says nothing of its progress when it has no terminal, so the size of what it has fetched is looked up.
 */
function downloadedBytes(temporary: string): number {
  let bytes = 0;
  for (const entry of readdirSync(temporary)) {
    if (!entry.startsWith('pip-unpack-')) continue;
    const folder = path.join(temporary, entry);
    for (const name of readdirSync(folder)) {
      bytes += statSync(path.join(folder, name), { throwIfNoEntry: false })?.size ?? 0;
    }
  }
  return bytes;
}
