import { TrainStep } from '@mezzo/detect';
import { withinMemory } from '@mezzo/precision';
import { backends, cuda, memory } from '@mezzo/torch';
import { type HarnessOptions, randomBatch, stepParts } from './step-harness.ts';

export interface DeviceStepOptions extends Pick<HarnessOptions, 'model' | 'amp' | 'channelsLast'> {
  device: string;
  imgsz: number;
  /** Multiply float32 with 10-bit mantissas where the card can. */
  tf32: boolean;
}

// Convolution algorithms are tried at first, and memory is taken for the shapes of a batch.
const WARM_UP = 3;

/** Training steps of a fresh model at any batch, on any device. */
export class DeviceStep {
  private readonly options: DeviceStepOptions;
  private readonly parts: ReturnType<typeof stepParts>;
  private readonly step: TrainStep;
  /** Live bytes of the device that are not this model's. */
  private readonly others: number;

  constructor(options: DeviceStepOptions) {
    releaseMemory(options.device);
    this.options = options;
    this.others = liveBytes(options.device);
    this.parts = stepParts(options);
    this.step = new TrainStep(this.parts);
  }

  /** Runs warmed-up steps at a batch, and `work` with one more step as a function. */
  at<T>(batch: number, work: (step: () => void) => T): T {
    const { imgsz, tf32, device } = this.options;
    const { images, rows } = randomBatch(this.parts, imgsz, batch);
    const once = () => {
      this.step.run(() => images, rows);
    };
    return withTf32(tf32, () => {
      try {
        for (let i = 0; i < WARM_UP; i++) once();
        wait(device);
        return work(once);
      } finally {
        images.dispose();
      }
    });
  }

  /** Mean seconds of `count` steps; the device is waited for at their end. */
  seconds(batch: number, count: number): number {
    return this.at(batch, (step) => {
      const begun = performance.now();
      for (let i = 0; i < count; i++) step();
      wait(this.options.device);
      return (performance.now() - begun) / 1000 / count;
    });
  }

  /** Most bytes of tensors during a step, weights and optimizer included; null when memory does not suffice. */
  peakBytes(batch: number): number | null {
    const { device } = this.options;
    releaseMemory(device);
    return withinMemory(device, () =>
      this.at(batch, (step) => {
        if (device === 'cpu') memory.resetPeak();
        else cuda.resetPeakMemoryStats(device);
        step();
        wait(device);
        const peak = device === 'cpu' ? memory.stats().peakBytes : cuda.maxMemoryAllocated(device);
        return peak - this.others;
      }),
    );
  }
}

const liveBytes = (device: string): number =>
  device === 'cpu' ? memory.stats().liveBytes : cuda.memoryAllocated(device);

function wait(device: string): void {
  if (device !== 'cpu') cuda.synchronize(device);
}

/** Models that nobody holds any more go, and so does the memory that the allocator keeps. */
function releaseMemory(device: string): void {
  memory.collectGarbage();
  if (device !== 'cpu') cuda.emptyCache(device);
}

/** TF32 changes nothing on a CPU. */
function withTf32<T>(on: boolean, work: () => T): T {
  const { cudnn, cuda: blas } = backends;
  const before = [cudnn.allowTf32, blas.matmul.allowTf32] as const;
  [cudnn.allowTf32, blas.matmul.allowTf32] = [on, on];
  try {
    return work();
  } finally {
    [cudnn.allowTf32, blas.matmul.allowTf32] = before;
  }
}
