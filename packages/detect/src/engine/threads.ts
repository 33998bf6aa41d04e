import { availableCores } from '@mezzo/libtorch';
import { setNumThreads } from '@mezzo/torch';

/** Compute threads of this process: OMP_NUM_THREADS where the user set it, else one for each core it may use. */
export function useComputeThreads(env: NodeJS.ProcessEnv = process.env): number {
  const asked = Number.parseInt(env.OMP_NUM_THREADS ?? '', 10);
  const threads = asked > 0 ? asked : availableCores();
  setNumThreads(threads);
  return threads;
}
