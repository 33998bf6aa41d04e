import { test } from 'node:test';
import { native } from '@mezzo/libtorch';

/**
 * A test that runs twice: with backward on this thread, and with backward on a thread of its own that calls
 * back, which is how it is where there is a GPU.
 */
export function testOnBothThreads(name: string, fn: () => void): void {
  test(name, fn);
  test(`${name} (backward on a thread of its own)`, () => onBackwardThread(fn));
}

export function onBackwardThread<T>(fn: () => T): T {
  native().alwaysUseBackwardThread(true);
  try {
    return fn();
  } finally {
    native().alwaysUseBackwardThread(false);
  }
}
