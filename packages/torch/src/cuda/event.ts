import { native } from '@mezzo/libtorch';
import { type CudaDevice, deviceIndex } from './device.ts';

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
}
