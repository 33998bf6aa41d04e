import { availableCores } from '@mezzo/libtorch';
import { setNumThreads } from '@mezzo/torch';
import type { WindowObserver } from './window-observer.ts';

/** Steps with each number of threads; the first warms up: kernels are chosen and memory is taken for its shapes. */
const STEPS = 4;
/** A number is given up after one step that takes so many times as long as the best of another one. */
const HOPELESS = 4;

/** Compute threads that the user asked for with OMP_NUM_THREADS; null leaves the choice to Mezzo. */
export function askedThreads(env: NodeJS.ProcessEnv = process.env): number | null {
  const asked = Number.parseInt(env.OMP_NUM_THREADS ?? '', 10);
  return asked > 0 ? asked : null;
}

/** Sets the compute threads: as the user asked, else one for each core that this process may use. */
export function useComputeThreads(): number {
  const threads = askedThreads() ?? availableCores();
  setNumThreads(threads);
  return threads;
}

/**
 * Finds in the first steps of a run how many compute threads train it fastest beside the loader: both share the cores,
 * and on a busy machine fewer threads can be many times faster. Half of the cores come first: never far from the best.
 */
export class ThreadTrial implements WindowObserver {
  readonly name = 'threads';
  private readonly candidates: readonly number[];
  private readonly decided: (threads: number, seconds: ReadonlyMap<number, number>) => void;
  /** Of the fastest step with each candidate tried so far. */
  private readonly seconds = new Map<number, number>();
  /** With the present candidate, from step to step. */
  private times: number[] = [];
  private begun = 0;

  /** @param decided is told the number of threads, and the seconds of a step with each that was tried */
  constructor(decided: (threads: number, seconds: ReadonlyMap<number, number>) => void) {
    const cores = availableCores();
    const half = Math.ceil(cores / 2);
    this.candidates = [...new Set([half, Math.max(half, cores - 1), cores])];
    this.decided = decided;
    setNumThreads(half);
  }

  beforeBatch(): void {
    const { candidates, seconds, times } = this;
    const threads = candidates[seconds.size];
    if (threads === undefined) return;
    const now = performance.now();
    if (this.begun > 0) times.push((now - this.begun) / 1000);
    this.begun = now;
    const hopeless = times.length > 0 && times.at(-1)! > HOPELESS * Math.min(...seconds.values());
    if (times.length < STEPS && !hopeless) return;
    seconds.set(threads, Math.min(...times.slice(hopeless ? 0 : 1)));
    this.times = [];
    const next = candidates[seconds.size];
    setNumThreads(next ?? this.fastest());
    if (next === undefined) this.decided(this.fastest(), seconds);
  }

  private fastest(): number {
    return [...this.seconds].reduce((best, one) => (one[1] < best[1] ? one : best))[0];
  }
}
