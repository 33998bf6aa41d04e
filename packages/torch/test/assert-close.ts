import assert from 'node:assert/strict';
import { type Tensor, tensor } from '../src/index.ts';

/** A tensor in a fixture: its shape and its elements in row-major order. */
export interface SavedTensor {
  shape: number[];
  data: number[];
}

export const numbersOf = (t: Tensor): number[] =>
  Array.from(t.toTypedArray() as Iterable<number | bigint>, Number);

export const load = ({ shape, data }: SavedTensor): Tensor => tensor(Float32Array.from(data), { shape });

export const loadIntegers = ({ shape, data }: SavedTensor): Tensor =>
  tensor(BigInt64Array.from(data, BigInt), { shape });

/** |actual - expected| <= atol + rtol · |expected| in every element, and the same shape. */
export function assertClose(
  actual: Tensor,
  expected: SavedTensor,
  what: string,
  rtol = 1e-5,
  atol = 1e-6,
): void {
  assert.deepEqual(actual.shape, expected.shape, `${what}: shape`);
  numbersOf(actual).forEach((value, i) => {
    const wanted = expected.data[i]!;
    const distance = Math.abs(value - wanted);
    assert.ok(
      Object.is(value, wanted) || distance <= atol + rtol * Math.abs(wanted),
      `${what}: element ${i} is ${value}, expected ${wanted}`,
    );
  });
}
