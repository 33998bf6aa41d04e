import { native } from '@mezzo/libtorch';
import { type CudaDevice, deviceIndex } from './device.ts';

// Between two looks at an event a waiting thread sleeps this long, so that it does not take a core.
const PAUSE_MS = 0.02;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** A mark in a device's current stream (torch.cuda.Event). */
export class Event {
  private readonly timed: boolean;
  private mark: number | undefined;

  /** @param options `enableTiming`: keep the time at which the device comes to the mark */
  constructor({ enableTiming = false } = {}) {
    this.timed = enableTiming;
  }

  /** Marks the end of what is queued in the current stream of the device. */
  record(device?: CudaDevice): void {
    const index = deviceIndex(device);
    this.mark = this.timed ? native().cudaRecordTimedEvent(index) : native().cudaRecordEvent(index);
  }

  /**
   * Milliseconds of the device from this mark to a later one; both are timed and of one device. NaN while the device
   * has not come to `end`: nothing waits. A time is taken once, this mark is gone after it.
   * @throws TorchError BAD_ARGUMENT for a mark that was never recorded or is gone
   */
  elapsedTime(end: Event): number {
    return native().cudaElapsed(this.mark ?? 0, end.mark ?? 0);
  }

  /** Whether everything before the mark has been done; true before any `record`. Does not wait. */
  query(): boolean {
    return this.mark === undefined || native().cudaQueryEvent(this.mark);
  }

  /** Waits until everything before the mark has been done; what was queued after it may go on. */
  wait(): void {
    while (!this.query()) Atomics.wait(pause, 0, 0, PAUSE_MS);
  }
}
