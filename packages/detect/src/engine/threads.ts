import { availableCores } from '@mezzo/libtorch';
import { autocast, forkRng, scope, setNumThreads } from '@mezzo/torch';
import type { TrainBatch } from '../data/train-loader.ts';
import type { HeadMaps } from '../models/decode.ts';
import type { ImageBlock } from './batch-memory.ts';
import { imagesOf } from './batches.ts';
import { deviceType } from './device.ts';
import { toInput } from './images.ts';
import type { Run } from './run.ts';

const STEPS = 3;

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
 * Finds by trial how many compute threads train fastest beside the loader: both share the cores, and on a busy machine
 * fewer threads can be many times faster. Works on a copy of the model, so the run itself is not touched.
 */
export async function fastestThreads(run: Run): Promise<{ threads: number; seconds: Map<number, number> }> {
  const cores = availableCores();
  const candidates = [...new Set([cores, cores - 1, Math.ceil(cores / 2)])].filter((count) => count > 0);
  const seconds = new Map<number, number>();
  const step = trialStep(run);
  for (const threads of candidates) {
    setNumThreads(threads);
    const times: number[] = [];
    let begun = performance.now();
    // The first batch warms up: kernels are chosen and memory is taken for its shapes.
    for await (const batch of run.train.epoch(0)) {
      step(batch);
      batch.memory.release();
      times.push((performance.now() - begun) / 1000);
      begun = performance.now();
      if (times.length > STEPS) break;
    }
    seconds.set(threads, Math.min(...times.slice(Math.min(1, times.length - 1))));
  }
  const threads = candidates.reduce((best, count) =>
    seconds.get(count)! < seconds.get(best)! ? count : best,
  );
  setNumThreads(threads);
  return { threads, seconds };
}

type Batch = TrainBatch<ImageBlock>;

/** Forward, loss and backward of a copy whose gradients are dropped. */
function trialStep({ model, loss, device, precision }: Run): (batch: Batch) => void {
  // Building the copy draws random numbers, which the run must not miss.
  const copy = forkRng(() => model.clone());
  copy.train();
  const region = { device: deviceType(device), dtype: precision.dtype, enabled: precision.enabled } as const;
  return (batch) =>
    scope(() => {
      const input = toInput(imagesOf(batch), device, precision, batch.input);
      const maps = autocast(region, () => copy.forward(input)) as HeadMaps;
      loss.forward(maps, batch.targets).total.backward();
      copy.zeroGrad();
    });
}
