import { type HostMemory, hostMemory, scope, type Tensor } from '@mezzo/torch';
import type { ImageMemory } from '../data/image-memory.ts';

/** Memory of one batch of images, which pixel code writes and LibTorch reads: nothing is copied in between. */
export interface ImageBlock extends ImageMemory {
  /** The first `count` images as uint8 [count, C, H, W] in channels_last order, viewing the memory. */
  images(count: number, channels: number, height: number, width: number): Tensor;
}

/** Batch buffers that are reused from step to step; pinned where a GPU reads them. */
export class BatchMemory {
  private readonly pinned: boolean;
  private readonly free: HostMemory[] = [];

  constructor(options: { pinned: boolean }) {
    this.pinned = options.pinned;
  }

  allocate(size: number): ImageBlock {
    const index = this.free.findIndex(({ bytes }) => bytes.byteLength >= size);
    const block = index >= 0 ? this.free.splice(index, 1)[0]! : hostMemory(size, { pinned: this.pinned });
    return {
      bytes: block.bytes.subarray(0, size),
      images: (count, channels, height, width) =>
        scope(() =>
          block.tensor
            .narrow(0, 0, count * channels * height * width)
            .view([count, height, width, channels])
            .permute([0, 3, 1, 2]),
        ),
      release: () => this.free.push(block),
    };
  }
}
