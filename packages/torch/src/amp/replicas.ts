import type { Tensor } from '../tensor/tensor.ts';

/** A scalar on the devices where it is wanted; one copy each. */
export class Replicas {
  private readonly perDevice = new Map<string, Tensor>();
  private readonly master: Tensor;

  constructor(master: Tensor) {
    this.master = master;
  }

  on(device: string): Tensor {
    let replica = this.perDevice.get(device);
    if (replica === undefined) {
      replica = this.master.to({ device, nonBlocking: true });
      this.perDevice.set(device, replica);
    }
    return replica;
  }
}
