import assert from 'node:assert/strict';
import type { Tensor } from '@mezzo/torch';

/** Fails unless both sets have the same names, shapes and bits. */
export function equalTensors(
  actual: Readonly<Record<string, Tensor>>,
  expected: Readonly<Record<string, Tensor>>,
): void {
  assert.deepEqual(Object.keys(actual), Object.keys(expected));
  const different = Object.entries(actual).filter(([name, tensor]) => {
    const other = expected[name]!;
    return String(tensor.shape) !== String(other.shape) || !tensor.eq(other).all().item();
  });
  assert.deepEqual(
    different.map(([name]) => name),
    [],
  );
}
