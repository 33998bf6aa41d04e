import { closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { MezzoError } from '@mezzo/libtorch';

/** What the system's error codes mean for the person who writes. */
const CAUSES: Record<string, { reason: string; hint: string }> = {
  ENOSPC: { reason: 'no space left on the disk', hint: 'free some disk space, or write to another disk' },
  EDQUOT: { reason: 'the disk quota is used up', hint: 'free some space, or write elsewhere' },
  EACCES: { reason: 'no permission', hint: 'check the permissions of the folder' },
  EPERM: { reason: 'not permitted', hint: 'check the permissions of the folder' },
  EROFS: { reason: 'the file system is read-only', hint: 'write elsewhere' },
  ENOENT: { reason: 'no such folder', hint: 'create the folder first' },
  ENOTDIR: { reason: 'a part of the path is not a folder', hint: 'check the path' },
};

/**
 * Writes a file so that at any moment, also after a kill or a power cut, `path` holds either the old content
 * or the new: into a temporary file in the same folder, fsync, rename, fsync of the folder.
 * @throws MezzoError WRITE_FAILED; the old file is untouched and no temporary file stays
 */
export function writeAtomically(path: string, write: (fd: number) => void): void {
  const folder = dirname(path);
  const temporary = join(folder, temporaryName(path, process.pid));
  try {
    removeLeftovers(folder, path);
    const fd = openSync(temporary, 'wx');
    try {
      write(fd);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncFolder(folder);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw explainWriteError(path, error);
  }
}

function explainWriteError(path: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || error instanceof MezzoError) return error;
  const { reason = message, hint } = CAUSES[code] ?? {};
  return new MezzoError('WRITE_FAILED', `cannot write ${path}: ${reason}`, { cause: error, hint });
}

/** `writeAtomically` for content that is at hand. */
export const writeFileAtomically = (path: string, content: string | Uint8Array): void =>
  writeAtomically(path, (fd) => writeFully(fd, typeof content === 'string' ? Buffer.from(content) : content));

/** One write call takes at most 2 GiB, and may take less than it was given. */
const LARGEST_WRITE = 2 ** 30;

export function writeFully(fd: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.byteLength) {
    const length = Math.min(LARGEST_WRITE, bytes.byteLength - written);
    written += writeSync(fd, bytes, written, length);
  }
}

const temporaryName = (path: string, pid: number | string) => `.${basename(path)}.${hostname()}-${pid}.tmp`;

/** Temporary files that killed processes of this machine left behind for the same path. */
function removeLeftovers(folder: string, path: string): void {
  const [prefix, suffix] = temporaryName(path, '*').split('*') as [string, string];
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(prefix) || !name.endsWith(suffix)) continue;
    const pid = Number(name.slice(prefix.length, -suffix.length));
    if (Number.isInteger(pid) && pid > 0 && (pid === process.pid || !isAlive(pid))) {
      rmSync(join(folder, name), { force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
