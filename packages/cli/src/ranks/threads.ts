import { availableParallelism, cpus } from 'node:os';
import { availableCores } from '@mezzo/libtorch';

/** Compute threads of each of several ranks on this host: its share of the cores. */
export function threadsOfRank(ranks: number): number {
  // Who was bound to some cores, as by srun, has its share already.
  const bound = availableParallelism() < cpus().length;
  return bound ? availableCores() : Math.max(1, Math.floor(availableCores() / ranks));
}
