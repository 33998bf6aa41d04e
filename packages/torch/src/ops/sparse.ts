import { native } from '@mezzo/libtorch';
import type { Tensor } from '../tensor/tensor.ts';
import { op } from './call.ts';

/** Gradients of embeddings may hold only the rows that were used. */
export const isSparse = (tensor: Tensor): boolean => native().layout(tensor.handle) === 'Sparse';

export const toDense = op<(self: Tensor) => Tensor>('aten::to_dense');
