import { TorchError } from '@mezzo/libtorch';
import { ones, zeros } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { silu } from './functional/activation.ts';
import { batchNormSilu, fusesBatchNormSilu } from './functional/batch-norm-silu.ts';
import { batchNorm, groupNorm, layerNorm } from './functional/normalization.ts';
import { type FactoryOptions, Layer } from './layer.ts';
import { NormBase } from './norm-base.ts';
import { Parameter } from './parameter.ts';
import { pythonBool, pythonFloat } from './python-repr.ts';

export interface BatchNormLayerOptions extends FactoryOptions {
  eps?: number;
  /** Share of the batch in the running statistics; null: the mean over all batches. */
  momentum?: number | null;
  /** Train a scale and, unless `bias` is false, a shift. Default: true. */
  affine?: boolean;
  bias?: boolean;
  /** Keep running statistics and use them in eval mode. Default: true. */
  trackRunningStats?: boolean;
}

/** Ioffe and Szegedy 2015. eps and momentum may be changed after construction. */
export abstract class BatchNorm extends NormBase {
  constructor(numFeatures: number, options: BatchNormLayerOptions = {}) {
    const { affine = true, trackRunningStats = true } = options;
    super(numFeatures, { ...options, affine, trackRunningStats });
  }

  /** Throws unless the input has the dimensions of this layer. */
  protected abstract checkInput(ndim: number): void;

  override forward(input: Tensor): Tensor {
    return this.normalise(batchNorm, input);
  }

  /** silu(forward(input)), as one kernel where there is one; see `functional.batchNormSilu`. */
  forwardSilu(input: Tensor): Tensor {
    const fused = this.fusesSilu(input)
      ? this.forwardFused((x) => this.normalise(batchNormSilu, x), input)
      : undefined;
    return fused ?? silu(this.forward(input));
  }

  private fusesSilu(input: Tensor): boolean {
    const { weight, bias, runningMean, runningVar } = this;
    return this.training && fusesBatchNormSilu(input, [weight, bias, runningMean, runningVar]);
  }

  private normalise(by: typeof batchNorm, input: Tensor): Tensor {
    this.checkInput(input.ndim);
    const updating = this.training && this.trackRunningStats;
    const { weight, bias, eps } = this;
    const tracked = !this.training || this.trackRunningStats;
    return by(input, tracked ? this.runningMean : null, tracked ? this.runningVar : null, {
      weight,
      bias,
      training: this.training || (this.runningMean === null && this.runningVar === null),
      momentum: updating ? this.countBatch() : (this.momentum ?? 0),
      eps,
    });
  }

  /** The share of this batch in the running statistics. */
  protected countBatch(): number {
    this.numBatchesTracked?.add_(1);
    // sync: a cumulative mean needs the count on the host
    return this.momentum ?? 1 / Number(this.numBatchesTracked?.item() ?? 1);
  }
}

const requireDims = (ndim: number, allowed: readonly number[]) => {
  if (allowed.includes(ndim)) return;
  const expected = allowed.map((n) => `${n}D`).join(' or ');
  throw new TorchError('VALUE', `expected ${expected} input (got ${ndim}D input)`);
};

/** Input [N, C] or [N, C, L]. */
export class BatchNorm1d extends BatchNorm {
  protected override checkInput(ndim: number): void {
    requireDims(ndim, [2, 3]);
  }
}

/** Input [N, C, H, W]. */
export class BatchNorm2d extends BatchNorm {
  protected override checkInput(ndim: number): void {
    requireDims(ndim, [4]);
  }
}

/** Input [N, C, D, H, W]. */
export class BatchNorm3d extends BatchNorm {
  protected override checkInput(ndim: number): void {
    requireDims(ndim, [5]);
  }
}

export interface LayerNormOptions extends FactoryOptions {
  eps?: number;
  elementwiseAffine?: boolean;
  bias?: boolean;
}

/** Over the last dimensions (Ba et al. 2016). */
export class LayerNorm extends Layer {
  readonly normalizedShape: readonly number[];
  eps: number;
  weight: Parameter | null;
  bias: Parameter | null;

  constructor(normalizedShape: number | readonly number[], options: LayerNormOptions = {}) {
    super();
    const { eps = 1e-5, elementwiseAffine = true, bias = true } = options;
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape];
    this.eps = eps;
    this.weight = elementwiseAffine ? new Parameter(ones(this.normalizedShape, options)) : null;
    this.bias = elementwiseAffine && bias ? new Parameter(zeros(this.normalizedShape, options)) : null;
  }

  override forward(input: Tensor): Tensor {
    return layerNorm(input, this.normalizedShape, this.weight, this.bias, this.eps);
  }

  override extraRepr(): string {
    const shape = `(${this.normalizedShape.join(', ')}${this.normalizedShape.length === 1 ? ',' : ''})`;
    const affine = pythonBool(this.weight !== null);
    const bias = pythonBool(this.bias !== null);
    return `${shape}, eps=${pythonFloat(this.eps)}, elementwise_affine=${affine}, bias=${bias}`;
  }
}

export interface GroupNormOptions extends FactoryOptions {
  eps?: number;
  affine?: boolean;
  bias?: boolean;
}

/** Over groups of channels (Wu and He 2018). Input [N, C, …]. */
export class GroupNorm extends Layer {
  readonly numGroups: number;
  readonly numChannels: number;
  eps: number;
  weight: Parameter | null;
  bias: Parameter | null;

  constructor(numGroups: number, numChannels: number, options: GroupNormOptions = {}) {
    super();
    const { eps = 1e-5, affine = true, bias = true } = options;
    if (numChannels % numGroups !== 0) {
      throw new TorchError('VALUE', 'num_channels must be divisible by num_groups');
    }
    this.numGroups = numGroups;
    this.numChannels = numChannels;
    this.eps = eps;
    this.weight = affine ? new Parameter(ones([numChannels], options)) : null;
    this.bias = affine && bias ? new Parameter(zeros([numChannels], options)) : null;
  }

  override forward(input: Tensor): Tensor {
    return groupNorm(input, this.numGroups, this.weight, this.bias, this.eps);
  }

  override extraRepr(): string {
    const affine = pythonBool(this.weight !== null);
    const bias = pythonBool(this.bias !== null);
    return `${this.numGroups}, ${this.numChannels}, eps=${pythonFloat(this.eps)}, affine=${affine}, bias=${bias}`;
  }
}
