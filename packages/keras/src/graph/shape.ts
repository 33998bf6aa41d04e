import { KerasError } from '../errors.ts';

/** Sizes of a tensor, the batch first; null is a size known only with the data. */
export type Shape = readonly (number | null)[];

/** `(null, 28, 28, 1)` */
export const shapeText = (shape: Shape): string =>
  shape.length === 1 ? `(${String(shape[0])},)` : `(${shape.map(String).join(', ')})`;

/** The shape of data as the shape of any batch of it. */
export const anyBatch = (shape: readonly number[]): Shape => [null, ...shape.slice(1)];

/** @throws KerasError SHAPE_MISMATCH: layer, expected, given */
export function shapeMismatch(layer: string, expected: string, given: Shape): KerasError {
  return new KerasError(
    'SHAPE_MISMATCH',
    `layer '${layer}': expected ${expected}, but the input has shape ${shapeText(given)}`,
  );
}

/** @throws KerasError SHAPE_MISMATCH unless the input has so many dimensions, the batch included */
export function requireRank(layer: string, shape: Shape, rank: number, meaning: string): void {
  if (shape.length === rank) return;
  throw shapeMismatch(layer, `${rank} dimensions ${meaning}`, shape);
}

/**
 * A size that must be known to make variables of it; negative axes count from the end.
 * @throws KerasError SHAPE_MISMATCH
 */
export function requireSize(layer: string, shape: Shape, axis: number): number {
  const size = shape.at(axis);
  if (typeof size === 'number') return size;
  throw shapeMismatch(layer, `a known size at axis ${axis}`, shape);
}

/** Whether two shapes agree where both are known. */
export const fits = (expected: Shape, given: Shape): boolean =>
  expected.length === given.length &&
  expected.every((size, i) => size === null || given[i] === null || size === given[i]);

/** Product of the sizes, null when one is unknown. */
export const elements = (sizes: Shape): number | null =>
  sizes.reduce((product, size) => (product === null || size === null ? null : product * size), 1);
