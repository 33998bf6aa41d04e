import { ops, type Tensor } from '@mezzo/torch';
import type { Size } from '../augment/geometry.ts';
import type { DeviceName } from './device.ts';
import type { RunPrecision } from './precision.ts';

/**
 * Brings a batch of uint8 images [B, 3, H, W] to the device and to 0 … 1, straight in the dtype in which the first
 * convolution will read it: 0 … 255 are exact in every dtype, so one rounding happens, as with a division in fp32.
 * @param size of the input; images of another one are scaled, bilinearly and in fp32
 */
export function toInput(
  images: Tensor,
  device: DeviceName,
  precision: Pick<RunPrecision, 'dtype' | 'channelsLast'>,
  size?: Size,
): Tensor {
  const moved = scaled(images.to({ device, nonBlocking: true }), size);
  const memoryFormat = precision.channelsLast ? 'channels_last' : 'contiguous';
  return ops._to_copy(moved, { dtype: precision.dtype, memory_format: memoryFormat }).div_(255);
}

function scaled(images: Tensor, size: Size | undefined): Tensor {
  if (size === undefined || (size.height === images.size(2) && size.width === images.size(3))) return images;
  return ops.upsample_bilinear2d(images.to('float32'), [size.height, size.width], false, null, null);
}
