import { native } from '@mezzo/libtorch';
import { isComplexDType, isFloatingDType } from '../tensor/dtype.ts';
import { takeHandle, track } from '../tensor/lifetime.ts';
import { Tensor } from '../tensor/tensor.ts';

/**
 * A tensor that a module trains (torch.nn.Parameter). It shares the memory of `data`, is a leaf of the graph,
 * and belongs to no scope.
 */
export class Parameter extends Tensor {
  constructor(data: Tensor, requiresGrad = isFloatingDType(data.dtype) || isComplexDType(data.dtype)) {
    super(takeHandle(() => data.detach()));
    native().setRequiresGrad(this.handle, requiresGrad);
    track(this);
  }

  override toString(): string {
    return `Parameter containing:\n${super.toString()}`;
  }

  override get [Symbol.toStringTag](): string {
    return 'Parameter';
  }
}
