import { Tensor } from '@mezzo/torch';

/**
 * `value` with each tensor in it replaced, in nested arrays, plain objects and Maps; other objects pass as they
 * are. What holds no replaced tensor comes back as the same object.
 */
export function mapTensors(value: unknown, replace: (tensor: Tensor) => Tensor): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Tensor) return replace(value);
  if (Array.isArray(value)) {
    const mapped = value.map((entry) => mapTensors(entry, replace));
    return mapped.some((entry, i) => entry !== value[i]) ? mapped : value;
  }
  if (value instanceof Map) {
    const mapped = new Map([...value].map(([key, entry]) => [key, mapTensors(entry, replace)] as const));
    return [...value].some(([key, entry]) => mapped.get(key) !== entry) ? mapped : value;
  }
  if (!isPlainObject(value)) return value;
  const entries = Object.entries(value);
  const mapped = entries.map(([key, entry]) => [key, mapTensors(entry, replace)] as const);
  return mapped.some(([, entry], i) => entry !== entries[i]![1]) ? Object.fromEntries(mapped) : value;
}

/** The first tensor in a value, in the order of its containers. */
export function firstTensor(value: unknown): Tensor | null {
  let first: Tensor | null = null;
  mapTensors(value, (tensor) => {
    first ??= tensor;
    return tensor;
  });
  return first;
}

function isPlainObject(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
