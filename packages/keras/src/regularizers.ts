import { op, type Tensor } from '@mezzo/torch';
import { lookUp } from './errors.ts';

/** A penalty on a variable: one number, added to the loss. */
export type Regularizer = (weight: Tensor) => Tensor;
export type RegularizerId = string | Regularizer;

const normOp = op('aten::linalg_norm');

/** rate · Σ |w| */
export const l1 =
  (rate = 0.01): Regularizer =>
  (weight) =>
    weight.abs().sum().mul(rate);

/** rate · Σ w² */
export const l2 =
  (rate = 0.01): Regularizer =>
  (weight) =>
    weight.square().sum().mul(rate);

export const l1L2 =
  ({ l1: one = 0, l2: two = 0 } = {}): Regularizer =>
  (weight) =>
    l1(one)(weight).add(l2(two)(weight));

/** factor · Σ |v·wᵀ| over pairs of different rows (or columns) of unit length, halved: they should be orthogonal. */
export const orthogonalRegularizer =
  ({ factor = 0.01, mode = 'rows' as 'rows' | 'columns' } = {}): Regularizer =>
  (weight) => {
    const vectors = mode === 'rows' ? weight : weight.t();
    const unit = vectors.div(normOp(vectors, 2, [1], true).clampMin(1e-12));
    const products = unit.matmul(unit.t());
    const size = products.size(0);
    const pairs = (size * (size - 1)) / 2;
    return products.triu(1).abs().sum().mul(factor).div(pairs);
  };

const REGULARIZERS: Readonly<Record<string, () => Regularizer>> = {
  l1,
  l2,
  l1_l2: () => l1L2({ l1: 0.01, l2: 0.01 }),
  orthogonal_regularizer: orthogonalRegularizer,
};

/** @throws KerasError UNKNOWN_ID */
export const asRegularizer = (id: RegularizerId | null): Regularizer | null =>
  typeof id === 'string' ? lookUp('regularizer', id, REGULARIZERS)() : id;
