import type { DType } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';

const LOW_PRECISION: readonly DType[] = ['bfloat16', 'float16'];

export const isLowPrecision = (dtype: DType): boolean => LOW_PRECISION.includes(dtype);

/** Whether the optimizer updates a float32 copy of the parameter in its place. */
export const hasMaster = (group: { readonly masterWeights?: boolean }, param: Tensor): boolean =>
  group.masterWeights === true && isLowPrecision(param.dtype);
