import { cuda, type HostMemory, hostMemory, scope, type Tensor } from '@mezzo/torch';
import type { ImageMemory } from '../data/image-memory.ts';
import { type DeviceName, deviceIndex } from './device.ts';

/** Memory of one batch of images, which pixel code writes and LibTorch reads: nothing is copied in between. */
export interface ImageBlock extends ImageMemory {
  /** The first `count` images as uint8 [count, C, H, W] in channels_last order, viewing the memory. */
  images(count: number, channels: number, height: number, width: number): Tensor;
}

/** Batch buffers that are reused from step to step; pinned where a GPU copies from them. */
export class BatchMemory {
  private readonly device: DeviceName;
  private readonly free: HostMemory[] = [];
  /** Released by the host, while the GPU may still be copying from them. */
  private readonly leaving: { block: HostMemory; copied: cuda.Event }[] = [];

  constructor(device: DeviceName) {
    this.device = device;
  }

  allocate(size: number): ImageBlock {
    while (this.leaving[0]?.copied.query()) this.free.push(this.leaving.shift()!.block);
    const index = this.free.findIndex(({ bytes }) => bytes.byteLength >= size);
    const pinned = this.device !== 'cpu';
    const block = index >= 0 ? this.free.splice(index, 1)[0]! : hostMemory(size, { pinned });
    return {
      bytes: block.bytes.subarray(0, size),
      images: (count, channels, height, width) =>
        scope(() =>
          block.tensor
            .narrow(0, 0, count * channels * height * width)
            .view([count, height, width, channels])
            .permute([0, 3, 1, 2]),
        ),
      release: () => this.release(block),
    };
  }

  private release(block: HostMemory): void {
    if (this.device === 'cpu') {
      this.free.push(block);
      return;
    }
    const copied = new cuda.Event();
    copied.record(deviceIndex(this.device));
    this.leaving.push({ block, copied });
  }
}
