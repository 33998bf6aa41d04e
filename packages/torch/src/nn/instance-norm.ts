import { TorchError } from '@mezzo/libtorch';
import { ones, scalarTensor, zeros } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { instanceNorm } from './functional/normalization.ts';
import { type FactoryOptions, Layer } from './layer.ts';
import { Parameter } from './parameter.ts';
import { pythonBool, pythonFloat } from './python-repr.ts';

export interface InstanceNormLayerOptions extends FactoryOptions {
  eps?: number;
  momentum?: number | null;
  /** Train a scale and, unless `bias` is false, a shift. Default: false. */
  affine?: boolean;
  bias?: boolean;
  /** Keep running statistics and use them in eval mode. Default: false. */
  trackRunningStats?: boolean;
}

/** Every channel of every sample for itself (Ulyanov et al. 2016). */
abstract class InstanceNorm extends Layer {
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

  constructor(numFeatures: number, options: InstanceNormLayerOptions = {}) {
    super();
    const { eps = 1e-5, momentum = 0.1, affine = false, bias = true, trackRunningStats = false } = options;
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    this.affine = affine;
    this.trackRunningStats = trackRunningStats;
    this.weight = affine ? new Parameter(ones([numFeatures], options)) : null;
    this.bias = affine && bias ? new Parameter(zeros([numFeatures], options)) : null;
    this.registerBuffer('runningMean', trackRunningStats ? zeros([numFeatures], options) : null);
    this.registerBuffer('runningVar', trackRunningStats ? ones([numFeatures], options) : null);
    this.registerBuffer(
      'numBatchesTracked',
      trackRunningStats ? scalarTensor(0, 'int64', options.device) : null,
    );
  }

  /** Dimensions of an input without a batch. */
  protected abstract readonly unbatched: number;

  override forward(input: Tensor): Tensor {
    const { unbatched } = this;
    const { ndim } = input;
    if (ndim !== unbatched && ndim !== unbatched + 1) {
      const message = `expected ${unbatched}D or ${unbatched + 1}D input (got ${ndim}D input)`;
      throw new TorchError('VALUE', message);
    }
    const channelDim = ndim - unbatched;
    if (this.affine && input.size(channelDim) !== this.numFeatures) {
      throw new TorchError(
        'VALUE',
        `expected input's size at dim=${channelDim} to match num_features (${this.numFeatures}), but got: ` +
          `${input.size(channelDim)}.`,
      );
    }
    return ndim === unbatched ? this.normalize(input.unsqueeze(0)).squeeze(0) : this.normalize(input);
  }

  private normalize(input: Tensor): Tensor {
    const { weight, bias, runningMean, runningVar, eps } = this;
    return instanceNorm(input, {
      weight,
      bias,
      runningMean,
      runningVar,
      useInputStats: this.training || !this.trackRunningStats,
      momentum: this.momentum ?? 0,
      eps,
    });
  }

  override extraRepr(): string {
    return (
      `${this.numFeatures}, eps=${pythonFloat(this.eps)}, momentum=${this.momentum ?? 'None'}, ` +
      `affine=${pythonBool(this.affine)}, bias=${pythonBool(this.bias !== null)}, ` +
      `track_running_stats=${pythonBool(this.trackRunningStats)}`
    );
  }
}

/** Input [N, C, L] or [C, L]. */
export class InstanceNorm1d extends InstanceNorm {
  protected override get unbatched(): number {
    return 2;
  }
}

/** Input [N, C, H, W] or [C, H, W]. */
export class InstanceNorm2d extends InstanceNorm {
  protected override get unbatched(): number {
    return 3;
  }
}

/** Input [N, C, D, H, W] or [C, D, H, W]. */
export class InstanceNorm3d extends InstanceNorm {
  protected override get unbatched(): number {
    return 4;
  }
}
