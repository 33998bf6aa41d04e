import { randomUUID } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Who holds a lock file. */
export interface LockHolder {
  pid: number;
  host: string;
  token: string;
}

const HEARTBEAT_MS = 5_000;
const SILENT_MS = 60_000;
const RETRY_MS = 200;

/**
 * Runs `work` while holding a lock file, so that two processes do not do the same long job at once. Waits for
 * the present holder and says so once through `onWait`. A holder is taken to be gone when its process is
 * (same host) or when it has not touched the file for a minute.
 *
 * The lock saves work; results must still be published by an atomic rename, which is what makes them safe.
 */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  onWait: (holder: LockHolder) => void = () => {},
): Promise<T> {
  const mine: LockHolder = { pid: process.pid, host: hostname(), token: randomUUID() };
  mkdirSync(path.dirname(file), { recursive: true });
  let waiting = false;
  for (;;) {
    if (create(file, mine)) break;
    const holder = read(file);
    if (!holder) continue;
    if (isGone(file, holder)) {
      breakLock(file, holder);
      continue;
    }
    if (!waiting) onWait(holder);
    waiting = true;
    await sleep(RETRY_MS);
  }
  const heartbeat = setInterval(() => touch(file), HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if (read(file)?.token === mine.token) rmSync(file, { force: true });
  }
}

function create(file: string, holder: LockHolder): boolean {
  // Linking a finished file in makes the lock appear with its content, or not at all.
  const draft = `${file}.${holder.token}`;
  writeFileSync(draft, JSON.stringify(holder));
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function read(file: string): LockHolder | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as LockHolder;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function isGone(file: string, holder: LockHolder): boolean {
  if (holder.host === hostname() && !isAlive(holder.pid)) return true;
  const touched = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  return touched !== undefined && Date.now() - touched > SILENT_MS;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, as another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function breakLock(file: string, stale: LockHolder): void {
  const aside = `${file}.${randomUUID()}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    // Another waiter may have broken the stale lock and taken its own in between: that one goes back.
    if (read(aside)?.token !== stale.token) linkSync(aside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

function touch(file: string): void {
  const now = new Date();
  try {
    utimesSync(file, now, now);
  } catch (error) {
    // Broken by somebody who took this process for dead: the rename still keeps the result safe.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
