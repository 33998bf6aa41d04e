import { ops, type Tensor } from '@mezzo/torch';
import type { DeviceName } from './device.ts';
import type { RunPrecision } from './precision.ts';

/**
 * Brings a batch of uint8 images [B, 3, H, W] to the device and to 0 … 1, straight in the dtype in which the first
 * convolution will read it: 0 … 255 are exact in every dtype, so one rounding happens, as with a division in fp32.
 */
export function toInput(
  images: Tensor,
  device: DeviceName,
  precision: Pick<RunPrecision, 'dtype' | 'channelsLast'>,
): Tensor {
  const moved = images.to({ device, nonBlocking: true });
  const memoryFormat = precision.channelsLast ? 'channels_last' : 'contiguous';
  return ops._to_copy(moved, { dtype: precision.dtype, memory_format: memoryFormat }).div_(255);
}
