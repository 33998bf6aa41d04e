import { MezzoError } from './errors.ts';
import type { PinSet } from './pins.ts';

/** Sizes as people read them: `553 MB`, `2.7 GB` (decimal units, like download pages). */
export function readableBytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(bytes / 1e6))} MB`;
}

const OWN_LIBTORCH = 'or set LIBTORCH to a LibTorch folder that is here already';

/**
 * What pip says, told apart by its text. The first that matches counts: pip ends a lost network like a
 * missing package.
 */
const PIP_FAILURES: { pattern: RegExp; code: string; message: string; hint: string }[] = [
  {
    pattern: /No module named pip|ensurepip is not available/,
    code: 'PIP_MISSING',
    message: 'LibTorch is installed by pip, and this Python has none.',
    hint: 'apt-get install python3-pip (Debian, Ubuntu), or set MEZZO_PYTHON to a Python with pip',
  },
  {
    pattern: /DO NOT MATCH THE HASHES/,
    code: 'HASH_MISMATCH',
    message: 'pip was given a file that is not the pinned one, and refused it.',
    hint: `check the package index that pip is configured with (pip config list), ${OWN_LIBTORCH}`,
  },
  {
    pattern:
      /NewConnectionError|ConnectionError|ConnectTimeout|ReadTimeout|name resolution|SSLError|ProxyError|IncompleteRead|Connection (?:broken|reset)/,
    code: 'NETWORK',
    message: 'pip could not reach the package index.',
    hint: `check the network and the proxy settings and run mezzo setup again, ${OWN_LIBTORCH}`,
  },
  {
    pattern: /No matching distribution found|Could not find a version/,
    code: 'INSTALL_FAILED',
    message: 'The package index that pip is configured with lacks a pinned package.',
    hint: `check it (pip config list), ${OWN_LIBTORCH}`,
  },
];

/** Turns a failed pip run into one error with a way out. `folder` is where LibTorch was to go. */
export function pipFailure(
  output: string,
  signal: NodeJS.Signals | null,
  folder: string,
  pins: PinSet,
): MezzoError {
  const said = output
    .split('\n')
    .filter((line) => /^\s*(ERROR|OSError)|No module named pip/.test(line))
    .slice(-3)
    .map((line) => `\n  ${line.trim()}`)
    .join('');
  if (/No space left on device|Errno 28|Disk quota exceeded/.test(output)) return noSpace(folder, pins);
  if (/Errno 13|Permission denied|Errno 30|Read-only file system/.test(output)) return noPermission(folder);
  const known = PIP_FAILURES.find(({ pattern }) => pattern.test(output));
  if (known) return new MezzoError(known.code, known.message + said, { hint: known.hint });
  const ended = signal ? `pip was ended by ${signal}` : 'pip failed';
  const hint = `run mezzo setup again, ${OWN_LIBTORCH}`;
  return new MezzoError(
    'INSTALL_FAILED',
    `${ended}.${said || `\n  ${output.trim().split('\n').at(-1) ?? ''}`}`,
    { hint },
  );
}

/** DISK_FULL, with what is needed and, where known, what is free. */
export function noSpace(folder: string, pins: PinSet, free?: number): MezzoError {
  const needs = readableBytes(pins.downloadBytes + pins.unpackedBytes);
  const has = free === undefined ? 'the disk is full' : `${readableBytes(free)} are free`;
  const hint = 'free disk space, or set MEZZO_HOME to a folder on another disk';
  const message = `No room for LibTorch ${pins.version} in ${folder}: it needs ${needs} while installing, ${has}.`;
  return new MezzoError('DISK_FULL', message, { hint });
}

function noPermission(folder: string, cause?: unknown): MezzoError {
  const hint = 'set MEZZO_HOME to a folder that you may write to';
  return new MezzoError(
    'NO_PERMISSION',
    `LibTorch cannot be installed: no permission to write in ${folder}.`,
    {
      hint,
      cause,
    },
  );
}

/** Turns a file-system error of the installer itself into the same errors; others pass unchanged. */
export function fileFailure(error: unknown, folder: string, pins: PinSet): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT') return noSpace(folder, pins);
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return noPermission(folder, error);
  return error;
}
