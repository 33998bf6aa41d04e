import { noGrad } from '../autograd/modes.ts';
import { empty, ones, scalarTensor, zeros } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { ones_, zeros_ } from './init.ts';
import { type FactoryOptions, Layer } from './layer.ts';
import { Parameter } from './parameter.ts';
import { pythonBool, pythonFloat } from './python-repr.ts';

export interface NormBaseOptions extends FactoryOptions {
  eps?: number;
  momentum?: number | null;
  affine: boolean;
  bias?: boolean;
  trackRunningStats: boolean;
}

/** What BatchNorm and InstanceNorm hold for each channel: scale, shift and the running statistics. */
export abstract class NormBase extends Layer {
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

  constructor(numFeatures: number, options: NormBaseOptions) {
    super();
    const { eps = 1e-5, momentum = 0.1, affine, bias = true, trackRunningStats } = options;
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    this.affine = affine;
    this.trackRunningStats = trackRunningStats;
    this.weight = affine ? new Parameter(empty([numFeatures], options)) : null;
    this.bias = affine && bias ? new Parameter(empty([numFeatures], options)) : null;
    this.registerBuffer('runningMean', trackRunningStats ? zeros([numFeatures], options) : null);
    this.registerBuffer('runningVar', trackRunningStats ? ones([numFeatures], options) : null);
    this.registerBuffer(
      'numBatchesTracked',
      trackRunningStats ? scalarTensor(0, 'int64', options.device) : null,
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

  override extraRepr(): string {
    return (
      `${this.numFeatures}, eps=${pythonFloat(this.eps)}, momentum=${this.momentum ?? 'None'}, ` +
      `affine=${pythonBool(this.affine)}, bias=${pythonBool(this.bias !== null)}, ` +
      `track_running_stats=${pythonBool(this.trackRunningStats)}`
    );
  }
}
