/** A size for every spatial dimension, or one for all of them. */
export type Size1d = number | readonly [number];
export type Size2d = number | readonly [number, number];
export type Size3d = number | readonly [number, number, number];

/** One number for each of `dims` spatial dimensions. */
export const spatial = (size: number | readonly number[], dims: number): number[] =>
  typeof size === 'number' ? new Array<number>(dims).fill(size) : [...size];
