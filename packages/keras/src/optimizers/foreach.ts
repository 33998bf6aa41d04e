import { op, type Tensor } from '@mezzo/torch';

/** LibTorch's operations over lists of tensors, with which Keras's torch backend updates its variables too. */
type Tensors = readonly Tensor[];

export const mulScalar_ = op<(self: Tensors, factor: number) => void>('aten::_foreach_mul_', 'Scalar');
export const mulScalar = op<(self: Tensors, factor: number) => Tensor[]>('aten::_foreach_mul', 'Scalar');
export const addScalar = op<(self: Tensors, term: number) => Tensor[]>('aten::_foreach_add', 'Scalar');
const addList_ = op<(self: Tensors, other: Tensors, options: { alpha: number }) => void>(
  'aten::_foreach_add_',
  'List',
);
export const mul = op<(self: Tensors, other: Tensors) => Tensor[]>('aten::_foreach_mul', 'List');
export const div = op<(self: Tensors, other: Tensors) => Tensor[]>('aten::_foreach_div', 'List');
export const sqrt = op<(self: Tensors) => Tensor[]>('aten::_foreach_sqrt', '');
export const abs = op<(self: Tensors) => Tensor[]>('aten::_foreach_abs', '');
export const sign = op<(self: Tensors) => Tensor[]>('aten::_foreach_sign', '');
export const maximum_ = op<(self: Tensors, other: Tensors) => void>('aten::_foreach_maximum_', 'List');

/** self += alpha · other */
export const add_ = (self: Tensors, other: Tensors, alpha = 1): void => addList_(self, other, { alpha });
