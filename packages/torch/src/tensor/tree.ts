import { TensorHandle } from './handle.ts';
import type { Tensor } from './tensor.ts';

/**
 * A copy of nested arrays, plain objects and Maps with every tensor replaced by `fn` of it; other values are
 * taken over.
 */
export function mapTensors<T>(value: T, fn: (tensor: Tensor) => Tensor): T {
  return map(value, fn) as T;
}

function map(value: unknown, fn: (tensor: Tensor) => Tensor): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof TensorHandle) return fn(value as Tensor);
  if (Array.isArray(value)) return value.map((element) => map(element, fn));
  if (value instanceof Map) return new Map(Array.from(value, ([key, entry]) => [key, map(entry, fn)]));
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, map(entry, fn)]));
}

/** The tensors in nested arrays, plain objects and Maps, in order; one that occurs twice is there twice. */
export function tensorsIn(value: unknown): Tensor[] {
  const found: Tensor[] = [];
  mapTensors(value, (tensor) => {
    found.push(tensor);
    return tensor;
  });
  return found;
}

export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
