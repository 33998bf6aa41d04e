import type { Tensor } from '@mezzo/torch';
import { largestMagnitudes } from '../autopsy/measure.ts';

/** Largest magnitude of each tensor that is there; NaN where it is not finite. HOST SYNC: one. */
export function readMagnitudes(tensors: ReadonlyMap<string, Tensor | null>): Map<string, number> {
  const present = [...tensors].filter((entry): entry is [string, Tensor] => entry[1] !== null);
  const values = largestMagnitudes(present.map(([, tensor]) => tensor));
  return new Map(present.map(([name], i) => [name, values[i]!]));
}

export const nonFiniteNames = (largest: ReadonlyMap<string, number>): string[] =>
  [...largest].filter(([, value]) => !Number.isFinite(value)).map(([name]) => name);
