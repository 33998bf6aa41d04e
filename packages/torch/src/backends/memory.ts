import { type MemoryStats, native } from '@mezzo/libtorch';

/** Tensor memory of the CPU, counted in LibTorch's allocator, temporary buffers of its kernels included. */
export const memory = {
  /** Live tensors of this thread; live and peak bytes and allocations of the process. */
  stats: (): MemoryStats => native().memoryStats(),
  /** Starts a new peak from the bytes that are live now. */
  resetPeak: (): void => native().resetPeak(),
  /** Allocations beyond this many live bytes throw TorchError OUT_OF_MEMORY; 0 lifts the limit. */
  setLimit: (bytes: number): void => native().setMemoryLimit(bytes),
};
