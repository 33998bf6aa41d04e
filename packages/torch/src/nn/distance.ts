import type { Tensor } from '../tensor/tensor.ts';
import { cosineSimilarity, pairwiseDistance } from './functional/distance.ts';
import { Module } from './module.ts';

/** Cosine of the angle between vectors along `dim`. */
export class CosineSimilarity extends Module {
  readonly dim: number;
  readonly eps: number;

  constructor(options: { dim?: number; eps?: number } = {}) {
    super();
    this.dim = options.dim ?? 1;
    this.eps = options.eps ?? 1e-8;
  }

  override forward(a: Tensor, b: Tensor): Tensor {
    return cosineSimilarity(a, b, this.dim, this.eps);
  }
}

/** p-norm of a - b along the last dimension. */
export class PairwiseDistance extends Module {
  readonly options: Readonly<{ p?: number; eps?: number; keepdim?: boolean }>;

  constructor(options: { p?: number; eps?: number; keepdim?: boolean } = {}) {
    super();
    this.options = options;
  }

  override forward(a: Tensor, b: Tensor): Tensor {
    return pairwiseDistance(a, b, this.options);
  }
}
