import { TorchError } from '@mezzo/libtorch';
import { noGrad } from '../autograd/modes.ts';
import { empty, ones, scalarTensor, zeros } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { silu } from './functional/activation.ts';
import { batchNormSilu } from './functional/batch-norm-silu.ts';
import { batchNorm, groupNorm, layerNorm } from './functional/normalization.ts';
import { ones_, zeros_ } from './init.ts';
import { type FactoryOptions, Layer } from './layer.ts';
import { Parameter } from './parameter.ts';
import { pythonBool, pythonFloat } from './python-repr.ts';

export interface BatchNormLayerOptions extends FactoryOptions {
  eps?: number;
  /** Share of the batch in the running statistics; null: the mean over all batches. */
  momentum?: number | null;
  /** Train a scale and, unless `bias` is false, a shift. */
  affine?: boolean;
  bias?: boolean;
  trackRunningStats?: boolean;
}

/** Ioffe and Szegedy 2015. eps and momentum may be changed after construction. */
export abstract class BatchNorm extends Layer {
  static override readonly stateNames = {
    runningMean: 'running_mean',
    runningVar: 'running_var',
    numBatchesTracked: 'num_batches_tracked',
  };
  static override readonly optionalState = ['num_batches_tracked'];

  readonly numFeatures: number;
  eps: number;
  momentum: number | null;
  readonly affine: boolean;
  readonly trackRunningStats: boolean;
  weight: Parameter | null;
  bias: Parameter | null;
  declare runningMean: Tensor | null;
  declare runningVar: Tensor | null;
  declare numBatchesTracked: Tensor | null;

  constructor(numFeatures: number, options: BatchNormLayerOptions = {}) {
    super();
    const { eps = 1e-5, momentum = 0.1, affine = true, bias = true, trackRunningStats = true } = options;
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    this.affine = affine;
    this.trackRunningStats = trackRunningStats;
    this.weight = affine ? new Parameter(empty([numFeatures], options)) : null;
    this.bias = affine && bias ? new Parameter(empty([numFeatures], options)) : null;
    const tracked = <T>(make: () => T): T | null => (trackRunningStats ? make() : null);
    this.registerBuffer(
      'runningMean',
      tracked(() => zeros([numFeatures], options)),
    );
    this.registerBuffer(
      'runningVar',
      tracked(() => ones([numFeatures], options)),
    );
    this.registerBuffer(
      'numBatchesTracked',
      tracked(() => scalarTensor(0, 'int64', options.device)),
    );
    this.resetParameters();
  }

  resetRunningStats(): void {
    noGrad(() => {
      this.runningMean?.zero_();
      this.runningVar?.fill_(1);
      this.numBatchesTracked?.zero_();
    });
  }

  resetParameters(): void {
    this.resetRunningStats();
    if (this.weight !== null) ones_(this.weight);
    if (this.bias !== null) zeros_(this.bias);
  }

  /** Throws unless the input has the dimensions of this layer. */
  protected abstract checkInput(ndim: number): void;

  override forward(input: Tensor): Tensor {
    return this.normalise(batchNorm, input);
  }

  /** silu(forward(input)), as one kernel where there is one; see `functional.batchNormSilu`. */
  forwardSilu(input: Tensor): Tensor {
    // An own `forward` is one with hooks, which see what this layer computes.
    if (Object.hasOwn(this, 'forward')) return silu(this.forward(input));
    return this.normalise(batchNormSilu, input);
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

  override extraRepr(): string {
    const momentum = this.momentum ?? 'None';
    return (
      `${this.numFeatures}, eps=${pythonFloat(this.eps)}, momentum=${momentum}, ` +
      `affine=${pythonBool(this.affine)}, bias=${pythonBool(this.bias !== null)}, ` +
      `track_running_stats=${pythonBool(this.trackRunningStats)}`
    );
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
