import { ones } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { localResponseNorm, rmsNorm } from './functional/normalization.ts';
import { type FactoryOptions, Layer } from './layer.ts';
import { Parameter } from './parameter.ts';
import { pythonBool, pythonFloat, tuple } from './python-repr.ts';

export interface RMSNormOptions extends FactoryOptions {
  /** Default: the machine epsilon of the input's dtype. */
  eps?: number | null;
  elementwiseAffine?: boolean;
}

/** Divides by the root of the mean square over the last dimensions (Zhang and Sennrich 2019). */
export class RMSNorm extends Layer {
  readonly normalizedShape: readonly number[];
  eps: number | null;
  weight: Parameter | null;

  constructor(normalizedShape: number | readonly number[], options: RMSNormOptions = {}) {
    super();
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape];
    this.eps = options.eps ?? null;
    this.weight =
      (options.elementwiseAffine ?? true) ? new Parameter(ones(this.normalizedShape, options)) : null;
  }

  override forward(input: Tensor): Tensor {
    return rmsNorm(input, this.normalizedShape, this.weight, this.eps);
  }

  override extraRepr(): string {
    const eps = this.eps === null ? 'None' : pythonFloat(this.eps);
    return `${tuple(this.normalizedShape)}, eps=${eps}, elementwise_affine=${pythonBool(this.weight !== null)}`;
  }
}

/** Divides by the size of the neighbouring channels (Krizhevsky et al. 2012). Input [N, C, …]. */
export class LocalResponseNorm extends Layer {
  readonly size: number;
  readonly alpha: number;
  readonly beta: number;
  readonly k: number;

  constructor(size: number, options: { alpha?: number; beta?: number; k?: number } = {}) {
    super();
    this.size = size;
    this.alpha = options.alpha ?? 1e-4;
    this.beta = options.beta ?? 0.75;
    this.k = options.k ?? 1;
  }

  override forward(input: Tensor): Tensor {
    return localResponseNorm(input, this.size, this);
  }

  override extraRepr(): string {
    return `${this.size}, alpha=${pythonFloat(this.alpha)}, beta=${this.beta}, k=${pythonFloat(this.k)}`;
  }
}
