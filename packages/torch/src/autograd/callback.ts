import { native } from '@mezzo/libtorch';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { refusePromise } from './synchronous.ts';

/** JavaScript that the running backward has called, one inside the other. */
let depth = 0;

/** Whether this code runs inside a backward: in a hook, a custom backward or a recomputation. */
export const insideBackward = (): boolean => depth > 0;

/** Marks `fn`, which the engine calls, as part of a backward. */
export function duringBackward<T>(what: string, fn: () => T): T {
  depth++;
  try {
    const result = fn();
    refusePromise(what, result);
    return result;
  } finally {
    depth--;
  }
}

/** The number of a running native node, which gives its gradients and takes the results. */
export type Frame = number;

/**
 * What a native node calls: `run` in a scope of its own, so that a backward frees all it made but its
 * gradients, which it returns in the order of the node's inputs.
 */
export function nodeCallback(what: string, run: (frame: Frame) => (Tensor | null)[]): (frame: Frame) => void {
  return (frame) =>
    duringBackward(what, () => scope(() => native().setFrameResults(frame, handlesOf(run(frame)))));
}

export const handlesOf = (tensors: readonly (Tensor | null)[]): Float64Array =>
  Float64Array.from(tensors, (tensor) => (tensor === null ? 0 : tensor.handle));
