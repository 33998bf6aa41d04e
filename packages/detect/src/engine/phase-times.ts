import { cuda } from '@mezzo/torch';
import { type DeviceName, deviceIndex } from './device.ts';

/** The parts of a training step: waiting for a batch; forward and loss; backward; unscaling, clipping, step, average. */
export const PHASES = ['data', 'forward', 'backward', 'optimizer'] as const;

export type Phase = (typeof PHASES)[number];

/** Seconds by phase. */
export type PhaseSeconds = Readonly<Record<Phase, number>>;

type Sums = Record<Phase, number>;

/** Sums up how long each phase took. What lies between two marks belongs to the phase that the second one names. */
export interface PhaseTimes {
  /** Starts the sums anew; the next phase begins here. */
  begin(): void;
  /** A phase has ended, the next one begins. */
  mark(phase: Phase): void;
  /** Since `begin`. */
  seconds(): PhaseSeconds;
}

/** By the host's clock on a CPU, by the device's own on a GPU: nothing waits for it. */
export function phaseTimes(device: DeviceName): PhaseTimes {
  return device === 'cpu' ? new HostPhaseTimes() : new DevicePhaseTimes(deviceIndex(device));
}

const zeros = (): Sums => ({ data: 0, forward: 0, backward: 0, optimizer: 0 });

class HostPhaseTimes implements PhaseTimes {
  private sums = zeros();
  private last = performance.now();

  begin(): void {
    this.sums = zeros();
    this.last = performance.now();
  }

  mark(phase: Phase): void {
    const now = performance.now();
    this.sums[phase] += (now - this.last) / 1000;
    this.last = now;
  }

  seconds(): PhaseSeconds {
    return { ...this.sums };
  }
}

/**
 * A timed mark in the device's queue after each phase, looked at when the device has come to it. `data` is then how
 * long the device stood without work before a step, whatever the host did meanwhile.
 */
class DevicePhaseTimes implements PhaseTimes {
  private readonly device: number;
  private sums = zeros();
  private last: cuda.Event | undefined;
  /** Marks that the device may not have come to, with the sums that their time goes to. */
  private readonly pending: { from: cuda.Event; to: cuda.Event; count: (seconds: number) => void }[] = [];

  constructor(device: number) {
    this.device = device;
  }

  begin(): void {
    this.sums = zeros();
    this.record(() => undefined);
  }

  mark(phase: Phase): void {
    const { sums } = this;
    this.record((seconds) => {
      sums[phase] += seconds;
    });
  }

  seconds(): PhaseSeconds {
    this.collect();
    return { ...this.sums };
  }

  private record(count: (seconds: number) => void): void {
    const to = new cuda.Event({ enableTiming: true });
    to.record(this.device);
    if (this.last !== undefined) this.pending.push({ from: this.last, to, count });
    this.last = to;
    this.collect();
  }

  private collect(): void {
    for (let next = this.pending[0]; next !== undefined; next = this.pending[0]) {
      const milliseconds = next.from.elapsedTime(next.to);
      if (Number.isNaN(milliseconds)) return;
      next.count(milliseconds / 1000);
      this.pending.shift();
    }
  }
}
