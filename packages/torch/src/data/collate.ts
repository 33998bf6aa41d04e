import { stack } from '../tensor/compose.ts';
import { tensor } from '../tensor/creation.ts';
import { TensorHandle } from '../tensor/handle.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { DataError } from './errors.ts';

/** What the samples of a batch become: numbers a tensor, tensors a stacked one, lists and objects by member. */
export type Collated<T> = T extends Tensor | number | bigint | boolean
  ? Tensor
  : T extends string
    ? string[]
    : T extends readonly unknown[]
      ? { -readonly [K in keyof T]: Collated<T[K]> }
      : T extends object
        ? { [K in keyof T]: Collated<T[K]> }
        : never;

/**
 * Joins samples to a batch (torch.utils.data.default_collate): tensors are stacked along a new first
 * dimension, numbers become a tensor (float32, bigint int64, boolean bool), strings a list; arrays and plain
 * objects are joined member by member.
 * @throws DataError TYPE for anything else, VALUE when members differ from sample to sample
 */
export function defaultCollate<T>(samples: readonly T[]): Collated<T> {
  return collate(samples) as Collated<T>;
}

function collate(samples: readonly unknown[]): unknown {
  const [first] = samples;
  if (first instanceof TensorHandle) return stack(samples as readonly Tensor[]);
  if (typeof first === 'number' || typeof first === 'bigint' || typeof first === 'boolean') {
    return tensor(samples as readonly number[]);
  }
  if (typeof first === 'string') return [...samples];
  if (Array.isArray(first)) {
    const rows = samples as readonly (readonly unknown[])[];
    if (rows.some((row) => row.length !== first.length)) {
      throw new DataError('VALUE', 'each element in list of batch should be of equal size');
    }
    return first.map((_, i) => collate(rows.map((row) => row[i])));
  }
  if (typeof first === 'object' && first !== null && Object.getPrototypeOf(first) === Object.prototype) {
    const rows = samples as readonly Record<string, unknown>[];
    return Object.fromEntries(Object.keys(first).map((key) => [key, collate(rows.map((row) => row[key]))]));
  }
  const found = first === null ? 'null' : typeof first === 'object' ? first.constructor.name : typeof first;
  throw new DataError(
    'TYPE',
    'default_collate: batch must contain tensors, numbers, strings, arrays or plain objects; ' +
      `found ${found}`,
    { hint: 'give the loader a `collate` function' },
  );
}

/** The same value with each tensor in it replaced. */
export function mapTensors(value: unknown, each: (tensor: Tensor) => Tensor): unknown {
  if (value instanceof TensorHandle) return each(value as Tensor);
  if (Array.isArray(value)) return value.map((element) => mapTensors(element, each));
  if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, mapTensors(entry, each)]));
  }
  return value;
}

export function disposeTensors(value: unknown): void {
  mapTensors(value, (tensor) => {
    tensor.dispose();
    return tensor;
  });
}
