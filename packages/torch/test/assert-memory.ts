import assert from 'node:assert/strict';
import type { MemoryStats } from '@mezzo/libtorch';

/** What glibc may give beyond what was asked for, because the rest of a free block is too small for another one. */
const ROUNDING = 32;

/**
 * Fails when steps between the two counts left something behind. A block that is taken anew in every step, such as a
 * gradient's, may be rounded differently; a leak of many steps is far larger.
 */
export function assertNothingLeft(before: MemoryStats, after: MemoryStats): void {
  assert.equal(after.liveTensors, before.liveTensors);
  const bytes = after.liveBytes - before.liveBytes;
  assert.ok(Math.abs(bytes) <= ROUNDING * before.liveTensors, `${bytes} bytes were left`);
}
