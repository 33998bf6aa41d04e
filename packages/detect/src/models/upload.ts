import { type DType, type Tensor, tensor } from '@mezzo/torch';

/**
 * A tensor of host values on the device. To a GPU they cross through pinned memory, so that the host goes on and
 * does not wait for the work queued before.
 */
export function upload(
  values: Float32Array | Int32Array,
  shape: readonly number[],
  { device, dtype }: { device: string; dtype?: DType },
): Tensor {
  const host = tensor(values, { shape, dtype });
  return device === 'cpu' ? host : host.pinMemory().to(device, { nonBlocking: true });
}
