import { native } from '@mezzo/libtorch';
import { adopt } from '../tensor/lifetime.ts';
import { keep } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A uint8 tensor [size] on the host and its memory as bytes: what is written into one is read from the other. */
export interface HostMemory {
  tensor: Tensor;
  bytes: Uint8Array;
}

/** Allocates `size` bytes that both worlds see without a copy; `pinned` for memory that a GPU copies from. */
export function hostMemory(size: number, { pinned = false } = {}): HostMemory {
  const tensor = keep(adopt(native().hostBuffer(size, pinned)));
  return { tensor, bytes: new Uint8Array(native().bytesView(tensor.handle)) };
}
