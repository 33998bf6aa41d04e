import { BenchStep } from '@mezzo/detect/bench';
import { manualSeed, setNumThreads } from '@mezzo/torch';

/** Steps of one model, ready to be timed. */
export interface StepHarness {
  /** Seconds of each of `count` steps. */
  run(count: number): number[];
  /** Peak bytes of tensors during one step. */
  peakBytes(): number;
  /** Live tensors and bytes after a step. */
  live(): { tensors: number; bytes: number };
}

export interface HarnessOptions {
  threads: number;
  imgsz: number;
  batch: number;
}

const WARM_UP = 2;

export async function loadDetection({ threads, imgsz, batch }: HarnessOptions) {
  setNumThreads(threads);
  return {
    steps(precision: { amp: 'fp32' | 'bf16'; channelsLast: boolean }): StepHarness {
      manualSeed(0);
      const bench = new BenchStep({ model: 'yolov8n', imgsz, batch, ...precision });
      const timed = () => {
        const begun = performance.now();
        bench.step();
        return (performance.now() - begun) / 1000;
      };
      for (let i = 0; i < WARM_UP; i++) timed();
      return {
        run: (count) => Array.from({ length: count }, timed),
        peakBytes: () => bench.peakBytes(),
        live: () => bench.live(),
      };
    },
  };
}
