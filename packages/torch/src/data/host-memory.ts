import { native } from '@mezzo/libtorch';
import { adopt } from '../tensor/lifetime.ts';
import { keep } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A uint8 tensor [size] on the host and its memory as bytes: what is written into one is read from the other. */
export interface HostMemory {
  tensor: Tensor;
  bytes: Uint8Array;
}

/** A uint8 tensor [size] on the host; `pinned` for memory that a GPU copies from or to. In no scope. */
export const hostTensor = (size: number, { pinned = false } = {}): Tensor =>
  keep(adopt(native().hostBuffer(size, pinned)));

/**
 * Allocates `size` bytes that both worlds see without a copy. They are freed by the event loop, once neither the tensor
 * nor the bytes are used: what is made in every step, and only read, is better a `hostTensor`.
 */
export function hostMemory(size: number, options: { pinned?: boolean } = {}): HostMemory {
  const tensor = hostTensor(size, options);
  return { tensor, bytes: new Uint8Array(native().bytesView(tensor.handle)) };
}
