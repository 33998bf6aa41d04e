import { op } from '../ops/call.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** From here on the bits of a float32 without its sign are an infinity or NaN. */
export const NOT_FINITE = 0x7f800000;

type Unscale = (grads: readonly Tensor[], inverseScale: Tensor, magnitudes: Tensor) => void;

/**
 * Multiplies gradients of one device by `inverseScale` (float32, one number; 1 leaves every bit alone) and, in
 * the same pass, writes the largest magnitude of each, after the product, to `magnitudes` (int32 [n], on their
 * device) as the bits of a float32. Those are ordered like the numbers, and from {@link NOT_FINITE} on the
 * gradient holds an infinity or NaN. Any strides, float16 to float64; of a sparse gradient its stored values.
 * The host reads nothing.
 */
export const unscaleMagnitudes_ = op<Unscale>('mezzo::unscale_', '');

/** The largest magnitude of each tensor (0 for an empty one) as the bits of a float32: int32 [n]. */
export const magnitudes = op<(tensors: readonly Tensor[]) => Tensor>('mezzo::magnitudes', '');

/**
 * How many numbers of each tensor have which exponent: int32 [n, 256], by the biased exponent of the number as
 * float32. 0 holds zeros and float32 subnormals, 255 what is not finite.
 */
export const exponentHistogram = op<(tensors: readonly Tensor[]) => Tensor>('mezzo::exponent_histogram', '');

/** Magnitudes as numbers. HOST SYNC: the caller decides when. */
export function readMagnitudes(bits: Tensor): Float32Array {
  const integers = bits.toTypedArray() as Int32Array;
  return new Float32Array(integers.buffer, integers.byteOffset, integers.length);
}
