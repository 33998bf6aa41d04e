import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type DType, type Tensor, tensor } from '@mezzo/torch';

export interface Numbers {
  shape: number[];
  values: number[];
}

const folder = new URL('../../test/fixtures/', import.meta.url);

/** A path in test/fixtures. */
export const fixturePath = (name: string): string => new URL(name, folder).pathname;

export const readFixture = <T>(name: string): T => JSON.parse(readFileSync(fixturePath(name), 'utf8')) as T;

export const tensorOf = ({ shape, values }: Numbers, dtype: DType = 'float32'): Tensor =>
  tensor(Float64Array.from(values), { shape, dtype });

/** Options in Keras's spelling under ours: use_bias → useBias. */
export const camelCased = (options: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );

/** @param tolerance relative to the largest of the expected values, or to 0.1 */
export function assertNear(actual: Tensor, expected: Numbers, tolerance: number, what: string): void {
  assert.deepEqual(actual.shape, expected.shape, `${what}: shape`);
  const values = Array.from(actual.detach().float().toTypedArray() as Float32Array);
  const largest = Math.max(...expected.values.map(Math.abs), 0.1);
  values.forEach((value, i) => {
    const distance = Math.abs(value - expected.values[i]!) / largest;
    assert.ok(
      distance <= tolerance,
      `${what}[${i}]: ${value}, Keras ${expected.values[i]}, ${distance} apart`,
    );
  });
}
