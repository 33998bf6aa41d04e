import { amp, noGrad, ops, scope, type Tensor } from '@mezzo/torch';

/**
 * Largest magnitude of each tensor, NaN for one that holds an infinity or NaN; integers are 0.
 * HOST SYNC: one per device.
 */
export function largestMagnitudes(tensors: readonly Tensor[]): number[] {
  const largest = new Array<number>(tensors.length).fill(0);
  for (const places of byDevice(tensors).values()) {
    const values = scope(() =>
      noGrad(() => amp.readMagnitudes(amp.magnitudes(places.map((i) => tensors[i]!.detach())))),
    );
    places.forEach((place, i) => {
      largest[place] = Number.isFinite(values[i]) ? values[i]! : Number.NaN;
    });
  }
  return largest;
}

function byDevice(tensors: readonly Tensor[]): Map<string, number[]> {
  const places = new Map<string, number[]>();
  tensors.forEach((tensor, i) => {
    if (!tensor.isFloatingPoint()) return;
    const { device } = tensor;
    places.set(device, [...(places.get(device) ?? []), i]);
  });
  return places;
}

export interface NonFinite {
  readonly count: number;
  /** Index of the first in row-major order. */
  readonly index: number[];
  readonly value: 'nan' | 'inf' | '-inf';
}

/** Where a tensor is not finite, or null. HOST SYNC. */
export function nonFiniteIn(tensor: Tensor): NonFinite | null {
  return scope(() =>
    noGrad(() => {
      const values = tensor.detach();
      const bad = values.isfinite().logicalNot();
      const count = Number(bad.countNonzero().item());
      if (count === 0) return null;
      const index = Array.from(
        ops.nonzero(bad).select(0, 0).toTypedArray() as BigInt64Array | Int32Array,
        Number,
      );
      const value = Number((index.length === 0 ? values : values.at(...index)).item());
      return { count, index, value: Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf' };
    }),
  );
}
