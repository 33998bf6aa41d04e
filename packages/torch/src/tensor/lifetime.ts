import { type Handle, native } from '@mezzo/libtorch';
import type { TensorHandle } from './handle.ts';
import type { Tensor } from './tensor.ts';

/**
 * Who frees a tensor. Inside a scope the scope does, and the JavaScript object carries no finalizer; outside
 * any scope the object is tracked: the garbage collector frees it. `depth` mirrors the native scope stack so
 * that the question "is a scope open" costs nothing.
 */
let depth = 0;

let TensorClass: new (handle: Handle) => Tensor;

/** tensor.ts hands its class over here, so that ops can make tensors without importing the class. */
export function setTensorClass(tensorClass: new (handle: Handle) => Tensor): void {
  TensorClass = tensorClass;
}

/** The Tensor of a fresh native handle. */
export function adopt(handle: Handle): Tensor {
  const tensor = new TensorClass(handle);
  if (depth === 0) track(tensor);
  return tensor;
}

export const adoptOptional = (handle: Handle): Tensor | null => (handle === 0 ? null : adopt(handle));

export function adoptAll(handles: Float64Array): (Tensor | null)[] {
  const tensors = new Array<Tensor | null>(handles.length);
  for (let i = 0; i < handles.length; i++) tensors[i] = adoptOptional(handles[i]!);
  return tensors;
}

/** From here on the garbage collector frees the tensor with its object. */
export function track(tensor: TensorHandle): void {
  if (tensor.tracked) return;
  native().track(tensor, tensor.handle);
  tensor.tracked = true;
}

/** Takes a tensor out of every scope. */
export function keepAlive(tensor: TensorHandle): void {
  if (tensor.tracked) return;
  native().keep(tensor.handle);
  track(tensor);
}

/** The handle of a tensor that `make` creates, owned by no scope and no object yet. */
export function takeHandle(make: () => TensorHandle): Handle {
  const mark = enterScope();
  try {
    const { handle } = make();
    native().keep(handle);
    return handle;
  } finally {
    leaveScope(mark, []);
  }
}

export function enterScope(): number {
  const mark = native().pushScope();
  depth++;
  return mark;
}

/** Hands `survivors` to the enclosing scope (or to the garbage collector) and frees the rest. */
export function leaveScope(mark: number, survivors: Iterable<TensorHandle>): void {
  depth--;
  try {
    for (const tensor of survivors) {
      if (tensor.tracked) continue;
      if (depth > 0) native().escape(tensor.handle);
      else keepAlive(tensor);
    }
  } finally {
    native().popScope(mark);
  }
}
