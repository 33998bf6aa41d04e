/** Sides of pictures that fit a network. */

/** The multiple that sides are rounded up to, whatever the network: as the reference does. */
const LEAST = 32;

/** What the sides of a network's pictures must be multiples of: its largest stride, 64 where it has a P6 head. */
export function largestStride({ strides }: { readonly strides: readonly number[] }): number {
  return Math.max(LEAST, ...strides);
}

/** A side rounded up to a multiple of a stride. */
export function wholeStrides(side: number, stride: number): number {
  return Math.ceil(side / stride) * stride;
}
