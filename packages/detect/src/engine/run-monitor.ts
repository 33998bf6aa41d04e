import { GpuMonitor, type GpuSample } from '@mezzo/libtorch';
import { cuda, memory } from '@mezzo/torch';
import { type DeviceName, deviceIndex } from './device.ts';
import { resetPeak } from './memory-limit.ts';
import { PHASES, type Phase, type PhaseSeconds, phaseTimes } from './phase-times.ts';

/** How well a run uses the machine, over the epoch so far. */
export interface MachineUse {
  /** Training images, waiting for them included, validation not. */
  readonly imagesPerSecond: number;
  /** Part of the training time that went into waiting for batches, 0 to 1. */
  readonly waitShare: number;
  /** Where the training time of the epoch so far went. */
  readonly phases: PhaseSeconds;
  /** The card with everything on it; only where nvidia-smi tells. */
  readonly gpu?: GpuSample;
}

/** Follows an epoch: images, times of the phases, memory, and the card. Costs a few clock readings a step and waits for nothing. */
export class RunMonitor {
  private readonly device: DeviceName;
  private readonly phases: ReturnType<typeof phaseTimes>;
  /** null where nobody tells, undefined before the first epoch. */
  private gpu: GpuMonitor | null | undefined;
  private images = 0;
  private begun = performance.now();

  constructor(device: DeviceName) {
    this.device = device;
    this.phases = phaseTimes(device);
  }

  /** An epoch begins, or goes on in its middle. */
  begin(): void {
    if (this.gpu === undefined) this.gpu = watch(this.device);
    this.gpu?.collect();
    if (this.device === 'cpu') resetPeak();
    else cuda.resetPeakMemoryStats(deviceIndex(this.device));
    this.images = 0;
    this.begun = performance.now();
    this.phases.begin();
  }

  /** A phase of a step has ended. */
  mark(phase: Phase): void {
    this.phases.mark(phase);
  }

  /** After a step with so many images. */
  step(images: number): MachineUse {
    this.images += images;
    return this.use(this.gpu?.latest ?? null);
  }

  /** At the end of an epoch's training: utilisation is the mean of its samples, memory the most. */
  epoch(): MachineUse {
    return this.use(this.gpu?.collect() ?? null);
  }

  /** Bytes of this process: on a CPU the most in live tensors since `begin`, on a GPU what LibTorch has reserved. */
  peakBytes(): number {
    const { device } = this;
    return device === 'cpu' ? memory.stats().peakBytes : cuda.memoryReserved(deviceIndex(device));
  }

  /** The run is over: nobody asks for the card any more. */
  stop(): void {
    this.gpu?.stop();
  }

  private use(gpu: GpuSample | null): MachineUse {
    const phases = this.phases.seconds();
    const total = PHASES.reduce((sum, phase) => sum + phases[phase], 0);
    return {
      imagesPerSecond: this.images / Math.max((performance.now() - this.begun) / 1000, 1e-9),
      waitShare: total > 0 ? phases.data / total : 0,
      phases,
      ...(gpu === null ? {} : { gpu }),
    };
  }
}

function watch(device: DeviceName): GpuMonitor | null {
  if (device === 'cpu') return null;
  const index = deviceIndex(device);
  return GpuMonitor.start({ index, name: cuda.getDeviceName(index) });
}
