import { native } from '@mezzo/libtorch';

/** Sets the number of threads that CPU kernels use (torch.set_num_threads). At least 1. */
export function setNumThreads(count: number): void {
  native().setNumThreads(count);
}

/** Threads that CPU kernels use (torch.get_num_threads). */
export function getNumThreads(): number {
  return native().getNumThreads();
}
