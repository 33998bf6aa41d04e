import { existsSync, readFileSync } from 'node:fs';
import { MezzoError } from './errors.ts';

/** The one sentence about where Mezzo runs. */
export const PLATFORM_REQUIRED =
  'Linux on x86-64 with glibc 2.28 or newer (Debian 10, Ubuntu 20.04 and later)';

/** Whether this process runs on musl, for which there is no LibTorch. */
export function onMusl(): boolean {
  return existsSync('/proc/self/maps') && readFileSync('/proc/self/maps', 'utf8').includes('/ld-musl-');
}

/** @throws {MezzoError} PLATFORM_UNSUPPORTED */
export function requirePlatform(): void {
  const musl = onMusl();
  if (process.platform === 'linux' && process.arch === 'x64' && !musl) return;
  const found = `${process.platform} ${process.arch}${musl ? ' with musl' : ''}`;
  throw new MezzoError('PLATFORM_UNSUPPORTED', `Mezzo runs on ${PLATFORM_REQUIRED}; this is ${found}.`, {
    hint: 'run it there, or in a container of such a system',
  });
}
