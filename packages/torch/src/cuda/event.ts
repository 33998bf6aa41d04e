import { native } from '@mezzo/libtorch';
import { type CudaDevice, deviceIndex } from './device.ts';

// Between two looks at an event a waiting thread sleeps this long, so that it does not take a core.
const PAUSE_MS = 0.02;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** A mark in a device's current stream (torch.cuda.Event). */
export class Event {
  private mark: number | undefined;

  /** Marks the end of what is queued in the current stream of the device. */
  record(device?: CudaDevice): void {
    this.mark = native().cudaRecordEvent(deviceIndex(device));
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
