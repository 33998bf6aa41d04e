import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type MemoryStats, native } from '@mezzo/libtorch';

let gc: (() => void) | undefined;

/** JavaScript's own collector, which Node hands out on request only. */
function collector(): () => void {
  setFlagsFromString('--expose_gc');
  return runInNewContext('gc') as () => void;
}

/** Tensor memory of the CPU, counted in LibTorch's allocator, temporary buffers of its kernels included. */
export const memory = {
  /** Live tensors of this thread; live and peak bytes and allocations of the process. */
  stats: (): MemoryStats => native().memoryStats(),
  /** Starts a new peak from the bytes that are live now. */
  resetPeak: (): void => native().resetPeak(),
  /** Allocations beyond this many live bytes throw TorchError OUT_OF_MEMORY; 0 lifts the limit. */
  setLimit: (bytes: number): void => native().setMemoryLimit(bytes),
  /** Gives the memory of freed tensors back to the system, which is otherwise kept for the next ones. */
  trim: (): void => native().trimMemory(),
  /** Frees the tensors of forgotten objects now, so that counts of live memory mean what a program does. Slow. */
  collectGarbage: (): void => {
    gc ??= collector();
    gc();
    // A finalizer may have let go of the last reference to another object.
    gc();
  },
};
