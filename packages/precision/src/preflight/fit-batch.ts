import { cuda, MezzoError } from '@mezzo/torch';
import { deviceType } from './subject.ts';

/** Bisection steps after a batch that fits was found by halving. */
const STEPS = 4;

// LibTorch's own words where the system refuses an allocation on the host.
const REFUSED = /DefaultCPUAllocator: can't allocate memory/;

export const isOutOfMemory = (error: unknown): boolean =>
  error instanceof MezzoError && (error.code === 'OUT_OF_MEMORY' || REFUSED.test(error.message));

/** Runs `attempt`; null when memory did not suffice. What it left behind on a GPU is given back. */
export function withinMemory<T>(device: string, attempt: () => T): T | null {
  try {
    return attempt();
  } catch (error) {
    if (!isOutOfMemory(error)) throw error;
    if (deviceType(device) === 'cuda') cuda.emptyCache(device);
    return null;
  }
}

/**
 * The largest batch below one that does not fit, found by halving and then bisection: exact up to 16 samples, to
 * about a sixteenth above. `result` is what `attempt` gave for it; null when not even one sample fits.
 */
export function largestFit<T>(
  tooMany: number,
  device: string,
  attempt: (batch: number) => T,
): { batch: number; result: T } | null {
  let above = tooMany;
  let best: { batch: number; result: T } | null = null;
  const probe = (batch: number) => {
    const result = withinMemory(device, () => attempt(batch));
    if (result === null) above = batch;
    else best = { batch, result };
    return result !== null;
  };
  for (let batch = Math.floor(tooMany / 2); batch >= 1; batch = Math.floor(batch / 2)) {
    if (probe(batch)) break;
  }
  for (let step = 0; best !== null && step < STEPS; step++) {
    const { batch } = best as { batch: number };
    if (above - batch < 2) break;
    probe(Math.floor((batch + above) / 2));
  }
  return best;
}
