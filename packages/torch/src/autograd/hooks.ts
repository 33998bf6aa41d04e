import { native, TorchError } from '@mezzo/libtorch';
import { describe } from '../ops/schema.ts';
import type { RemovableHandle } from '../removable-handle.ts';
import { TensorHandle } from '../tensor/handle.ts';
import { adopt } from '../tensor/lifetime.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { duringBackward } from './callback.ts';
import { refuseAsync } from './synchronous.ts';

/** Sees the gradient of its tensor; a tensor that it returns takes the gradient's place. */
export type TensorHook = (grad: Tensor) => Tensor | null | undefined;

/** Sees a leaf whose `.grad` has just been added to. */
export type AccumulateHook = (leaf: Tensor) => void;

export function registerHook(tensor: TensorHandle, hook: TensorHook): RemovableHandle {
  refuseAsync('registerHook', hook);
  const call = (gradient: number) => {
    const result = duringBackward('registerHook', () => hook(adopt(gradient))) ?? null;
    if (result === null) return 0;
    if (result instanceof TensorHandle) return result.handle;
    throw new TorchError(
      'TYPE',
      `registerHook: expected Tensor or null from the hook, got ${describe(result)}`,
    );
  };
  return removable(native().registerTensorHook(tensor.handle, call, hook.name));
}

export function registerPostAccumulateGradHook(tensor: TensorHandle, hook: AccumulateHook): RemovableHandle {
  refuseAsync('registerPostAccumulateGradHook', hook);
  const call = (leaf: number) => duringBackward('registerPostAccumulateGradHook', () => hook(adopt(leaf)));
  return removable(native().registerAccumulatedHook(tensor.handle, call, hook.name));
}

const removable = (registration: object): RemovableHandle => ({
  remove: () => native().removeHook(registration),
});
