import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MezzoError } from './errors.ts';
import { findExecutable } from './executables.ts';
import { installsFolder } from './folders.ts';
import { fileFailure, noSpace } from './install-failure.ts';
import { type Install, RECEIPT, type Receipt, readReceipt, type Variant } from './installs.ts';
import { inspectLibTorch } from './libtorch.ts';
import { type LockHolder, withLock } from './lock.ts';
import { type PinSet, readPins } from './pins.ts';
import { pipInstall } from './pip.ts';
import { pythonCommand } from './python.ts';

export interface InstallProgress {
  phase: 'waiting' | 'download' | 'unpack' | 'done';
  /** Bytes downloaded so far, of `totalBytes`. */
  bytes: number;
  totalBytes: number;
  /** In phase `waiting`: the process that is installing. */
  holder?: LockHolder;
}

export interface InstallOptions {
  version: string;
  variant: Variant;
  env?: NodeJS.ProcessEnv;
  /** The folder of the requirements files, Mezzo's own by default; ends in a slash. */
  pinsFolder?: URL;
  /** Installs anew what is there already. */
  force?: boolean;
  onProgress?: (progress: InstallProgress) => void;
  /** Ends the installation; nothing half-installed stays. */
  signal?: AbortSignal;
}

/** Where a set goes, what it costs, and whether it is there already: what is to be said before installing. */
export interface InstallPlan {
  pins: PinSet;
  target: string;
  present: boolean;
}

export function planTarget({ version, variant, env = process.env, pinsFolder }: InstallOptions): InstallPlan {
  const pins = readPins(version, variant, pinsFolder);
  const target = path.join(installsFolder(env), `${version}-${variant}`);
  return { pins, target, present: readReceipt(target)?.pins === pins.digest };
}

/**
 * Installs a pinned LibTorch into Mezzo's folder with the user's own pip, checking every file against its
 * hash. The copy appears under its name only when it is whole; a copy that is there already is only marked as
 * the chosen one.
 * @throws {MezzoError} NO_SUCH_SET, PYTHON_MISSING, PIP_MISSING, NETWORK, HASH_MISMATCH, DISK_FULL,
 * NO_PERMISSION, INSTALL_FAILED, INTERRUPTED
 */
export async function installLibTorch(options: InstallOptions): Promise<Install> {
  const { env = process.env, onProgress = () => {} } = options;
  const { pins, target } = planTarget(options);
  const folder = installsFolder(env);
  const totalBytes = pins.downloadBytes;
  try {
    mkdirSync(folder, { recursive: true });
    return await withLock(
      path.join(folder, 'lock'),
      () => installLocked(options, pins, target),
      (holder) => onProgress({ phase: 'waiting', bytes: 0, totalBytes, holder }),
    );
  } catch (error) {
    throw fileFailure(error, folder, pins);
  }
}

async function installLocked(options: InstallOptions, pins: PinSet, target: string): Promise<Install> {
  const { env = process.env, force = false, onProgress = () => {}, signal } = options;
  const folder = path.dirname(target);
  // Nobody else is at work here, so drafts are what killed installers left.
  for (const name of readdirSync(folder).filter((entry) => entry.startsWith('.draft-'))) {
    rmSync(path.join(folder, name), { recursive: true, force: true });
  }
  const present = readReceipt(target);
  if (!force && present?.pins === pins.digest) return mark(target, present);

  const command = pythonCommand(env);
  const python = findExecutable(command, env);
  if (!python) {
    const hint = 'apt-get install python3 python3-pip (Debian, Ubuntu), or set MEZZO_PYTHON to a Python 3';
    const message = `LibTorch is installed by pip, and there is no ${command} on this machine.`;
    throw new MezzoError('PYTHON_MISSING', message, { hint });
  }
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < pins.downloadBytes + pins.unpackedBytes) throw noSpace(folder, pins, bavail * bsize);

  const draft = path.join(folder, `.draft-${randomUUID()}`);
  const site = path.join(draft, 'site');
  // pip unpacks in its temporary folder and then moves: on the same file system that costs nothing.
  const temporary = path.join(draft, 'tmp');
  mkdirSync(temporary, { recursive: true });
  try {
    await pipInstall({ python, pins, site, temporary, env, onProgress, signal });
    const found = inspectLibTorch(path.join(site, 'torch'));
    if (typeof found === 'string') throw new MezzoError('INSTALL_FAILED', `pip finished, but ${found}`);
    const receipt: Receipt = {
      version: pins.version,
      variant: pins.variant,
      chosenAt: new Date().toISOString(),
      pins: pins.digest,
      bytesOnDisk: pins.unpackedBytes,
    };
    writeFileSync(path.join(site, RECEIPT), `${JSON.stringify(receipt, null, 2)}\n`);
    // A folder in use keeps its files until the last process that mapped them ends.
    if (existsSync(target)) renameSync(target, path.join(draft, 'old'));
    renameSync(site, target);
    onProgress({ phase: 'done', bytes: pins.downloadBytes, totalBytes: pins.downloadBytes });
    return { ...receipt, path: target };
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function mark(target: string, present: Receipt): Install {
  const receipt: Receipt = { ...present, chosenAt: new Date().toISOString() };
  const draft = path.join(target, `${RECEIPT}.${process.pid}`);
  writeFileSync(draft, `${JSON.stringify(receipt, null, 2)}\n`);
  renameSync(draft, path.join(target, RECEIPT));
  return { ...receipt, path: target };
}
