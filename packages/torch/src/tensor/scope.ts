import { refuseAsync, refusePromise } from '../autograd/synchronous.ts';
import { TensorHandle } from './handle.ts';
import { enterScope, keepAlive, leaveScope } from './lifetime.ts';
import { isPlainObject } from './tree.ts';

/**
 * Runs `fn` and frees every tensor created in it, except those it returns (as a Tensor, or inside arrays,
 * plain objects and Maps), those passed to `keep`, and those assigned as parameter, buffer, gradient or
 * optimizer state. Scopes nest. When `fn` throws, everything it created is freed.
 * @throws TorchError ASYNC_REGION when `fn` is async: other code would run inside the scope during an `await`.
 */
export function scope<T>(fn: () => T): T {
  refuseAsync('scope', fn);
  const mark = enterScope();
  const survivors = new Set<TensorHandle>();
  try {
    const result = fn();
    refusePromise('scope', result);
    collectTensors(result, survivors, new Set());
    return result;
  } finally {
    leaveScope(mark, survivors);
  }
}

/** Takes a tensor out of all scopes: it lives until it is disposed or its object is garbage. */
export function keep<T extends TensorHandle>(tensor: T): T {
  keepAlive(tensor);
  return tensor;
}

function collectTensors(value: unknown, found: Set<TensorHandle>, seen: Set<object>): void {
  if (typeof value !== 'object' || value === null) return;
  if (value instanceof TensorHandle) {
    found.add(value);
    return;
  }
  if (seen.has(value)) return;
  seen.add(value);
  if (value instanceof Map) {
    for (const entry of value.values()) collectTensors(entry, found, seen);
  } else if (Array.isArray(value)) {
    for (const entry of value) collectTensors(entry, found, seen);
  } else if (isPlainObject(value)) {
    for (const entry of Object.values(value)) collectTensors(entry, found, seen);
  }
}
