import type { Tensor } from '../tensor/tensor.ts';
import { op } from './call.ts';

/**
 * LibTorch's operations over lists of tensors: one call, and on CUDA one kernel, for all of them. In-place
 * ones end in an underscore. They work with any strides.
 */
type Tensors = readonly Tensor[];

export const foreachZero_ = op<(self: Tensors) => void>('aten::_foreach_zero_', '');
export const foreachCopy_ = op<(self: Tensors, source: Tensors) => void>('aten::_foreach_copy_', '');
export const foreachNeg = op<(self: Tensors) => Tensor[]>('aten::_foreach_neg', '');
export const foreachAbs = op<(self: Tensors) => Tensor[]>('aten::_foreach_abs', '');
export const foreachSqrt = op<(self: Tensors) => Tensor[]>('aten::_foreach_sqrt', '');
export const foreachAdd = op<(self: Tensors, other: Tensors, options: { alpha: number }) => Tensor[]>(
  'aten::_foreach_add',
  'List',
);
export const foreachAdd_ = op<(self: Tensors, other: Tensors, options: { alpha: number }) => void>(
  'aten::_foreach_add_',
  'List',
);
export const foreachSub_ = op<(self: Tensors, other: Tensors) => void>('aten::_foreach_sub_', 'List');
export const foreachAddScalar_ = op<(self: Tensors, scalar: number) => void>('aten::_foreach_add_', 'Scalar');
export const foreachMulScalar_ = op<(self: Tensors, scalar: number) => void>('aten::_foreach_mul_', 'Scalar');
export const foreachMulTensor_ = op<(self: Tensors, other: Tensor) => void>('aten::_foreach_mul_', 'Tensor');
export const foreachMul = op<(self: Tensors, other: Tensors) => Tensor[]>('aten::_foreach_mul', 'List');
export const foreachMul_ = op<(self: Tensors, other: Tensors) => void>('aten::_foreach_mul_', 'List');
export const foreachDiv_ = op<(self: Tensors, other: Tensors) => void>('aten::_foreach_div_', 'List');
export const foreachMaximum_ = op<(self: Tensors, other: Tensors) => void>('aten::_foreach_maximum_', 'List');
export const foreachLerp_ = op<(self: Tensors, end: Tensors, weight: number) => void>(
  'aten::_foreach_lerp_',
  'Scalar',
);
export const foreachAddcmul = op<(self: Tensors, a: Tensors, b: Tensors, value: number) => Tensor[]>(
  'aten::_foreach_addcmul',
  'Scalar',
);
export const foreachAddcmul_ = op<(self: Tensors, a: Tensors, b: Tensors, value: number) => void>(
  'aten::_foreach_addcmul_',
  'Scalar',
);
export const foreachAddcdiv_ = op<(self: Tensors, a: Tensors, b: Tensors, value: number) => void>(
  'aten::_foreach_addcdiv_',
  'Scalar',
);
export const foreachNorm = op<(self: Tensors, ord: number) => Tensor[]>('aten::_foreach_norm', 'Scalar');
