import { TorchError } from '@mezzo/libtorch';
import { defaultGroup, isInitialized, type ProcessGroup } from '../distributed/group.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { silu } from './functional/activation.ts';
import { syncBatchNorm } from './functional/sync-batch-norm.ts';
import type { Module } from './module.ts';
import { BatchNorm, type BatchNormLayerOptions } from './normalization.ts';

export interface SyncBatchNormOptions extends BatchNormLayerOptions {
  /** Default: all processes. */
  processGroup?: ProcessGroup | undefined;
}

/**
 * BatchNorm over the samples of all ranks of a group: in training they exchange the statistics, in backward the sums
 * of the gradients. Every rank must run it. In evaluation, and where there is one process, it is BatchNorm.
 * Input [N, C, …]; the ranks' batches and sizes may differ.
 */
export class SyncBatchNorm extends BatchNorm {
  processGroup: ProcessGroup | undefined;

  constructor(numFeatures: number, options: SyncBatchNormOptions = {}) {
    super(numFeatures, options);
    this.processGroup = options.processGroup;
  }

  /**
   * Puts a SyncBatchNorm with the same parameters and buffers in the place of every BatchNorm; returns the module, or
   * what takes its place. Do it before the optimizer and DistributedDataParallel are made.
   */
  static convertSyncBatchnorm(module: Module, processGroup?: ProcessGroup): Module {
    const convert = (each: Module) =>
      each instanceof BatchNorm && !(each instanceof SyncBatchNorm)
        ? SyncBatchNorm.#inPlaceOf(each, processGroup)
        : each;
    module.replaceModules(convert);
    return convert(module);
  }

  static #inPlaceOf(layer: BatchNorm, processGroup: ProcessGroup | undefined): SyncBatchNorm {
    const { numFeatures, eps, momentum, affine, trackRunningStats } = layer;
    const made = new SyncBatchNorm(numFeatures, { eps, momentum, affine, trackRunningStats, processGroup });
    const { weight, bias, runningMean, runningVar, numBatchesTracked, training } = layer;
    return Object.assign(made, { weight, bias, runningMean, runningVar, numBatchesTracked, training });
  }

  protected override checkInput(ndim: number): void {
    if (ndim < 2) throw new TorchError('VALUE', `expected at least 2D input (got ${ndim}D input)`);
  }

  override forward(input: Tensor): Tensor {
    const group = this.#exchanges();
    if (group === undefined) return super.forward(input);
    this.checkInput(input.ndim);
    const { weight, bias, runningMean, runningVar, eps } = this;
    return syncBatchNorm(input, runningMean, runningVar, {
      weight,
      bias,
      momentum: this.trackRunningStats ? this.countBatch() : 0,
      eps,
      group,
    });
  }

  override forwardSilu(input: Tensor): Tensor {
    return this.#exchanges() === undefined ? super.forwardSilu(input) : silu(this.forward(input));
  }

  #exchanges(): ProcessGroup | undefined {
    if (!this.training) return undefined;
    const group = this.processGroup ?? (isInitialized() ? defaultGroup() : undefined);
    return group !== undefined && group.size > 1 ? group : undefined;
  }
}
