import type { Tensor } from '@mezzo/torch';
import { checkOptions, KerasError, lookUp } from '../errors.ts';
import * as functions from './functions.ts';
import { sameRank } from './rank.ts';

export type { CrossentropyOptions, LossFunction } from './functions.ts';

/** How the losses of a batch become one number; 'none' leaves them. */
export type Reduction = 'sum_over_batch_size' | 'sum' | 'none';

export interface LossOptions extends functions.CrossentropyOptions {
  reduction?: Reduction;
  name?: string;
}

const OPTIONS = ['reduction', 'name', 'fromLogits', 'labelSmoothing'] as const;

/**
 * A loss (keras.losses.Loss): of each sample by a function, in float32 whatever the policy, times the sample
 * weights, then reduced.
 */
export class Loss {
  readonly name: string;
  readonly reduction: Reduction;
  readonly #fn: functions.LossFunction;
  readonly #options: functions.CrossentropyOptions;

  /** @throws KerasError UNKNOWN_ID for an unknown option */
  constructor(fn: functions.LossFunction, options: LossOptions = {}) {
    const { reduction = 'sum_over_batch_size', name = fn.name, ...rest } = options;
    checkOptions(`loss '${name}'`, options, OPTIONS);
    if (!['sum_over_batch_size', 'sum', 'none'].includes(reduction)) {
      throw new KerasError(
        'BAD_OPTION',
        `loss '${name}': reduction must be 'sum_over_batch_size', 'sum' or 'none', not '${String(reduction)}'`,
      );
    }
    this.name = name;
    this.reduction = reduction;
    this.#fn = fn;
    this.#options = rest;
  }

  /** @throws KerasError SHAPE_MISMATCH when targets and predictions do not fit */
  call(yTrue: Tensor, yPred: Tensor, sampleWeight: Tensor | null = null): Tensor {
    const losses = this.#fn(yTrue, yPred.float(), this.#options);
    const weighted = sampleWeight === null ? losses : product(...sameRank(losses, sampleWeight.float()));
    if (this.reduction === 'none' || weighted.ndim === 0) return weighted;
    const sum = weighted.sum();
    return this.reduction === 'sum' ? sum : sum.div(weighted.numel());
  }
}

const product = (a: Tensor, b: Tensor): Tensor => a.mul(b);

type LossClass = new (options?: LossOptions) => Loss;

const lossClass = (name: string, fn: functions.LossFunction): LossClass =>
  class extends Loss {
    constructor(options: LossOptions = {}) {
      super(fn, { name, ...options });
    }
  };

export const MeanSquaredError = lossClass('mean_squared_error', functions.meanSquaredError);
export const MeanAbsoluteError = lossClass('mean_absolute_error', functions.meanAbsoluteError);
export const MeanAbsolutePercentageError = lossClass(
  'mean_absolute_percentage_error',
  functions.meanAbsolutePercentageError,
);
export const MeanSquaredLogarithmicError = lossClass(
  'mean_squared_logarithmic_error',
  functions.meanSquaredLogarithmicError,
);
export const Huber = lossClass('huber', functions.huber);
export const LogCosh = lossClass('log_cosh', functions.logCosh);
export const Poisson = lossClass('poisson', functions.poisson);
export const Hinge = lossClass('hinge', functions.hinge);
export const SquaredHinge = lossClass('squared_hinge', functions.squaredHinge);
export const CosineSimilarity = lossClass('cosine_similarity', functions.cosineSimilarity);
export const KLDivergence = lossClass('kl_divergence', functions.klDivergence);
export const BinaryCrossentropy = lossClass('binary_crossentropy', functions.binaryCrossentropy);
export const CategoricalCrossentropy = lossClass(
  'categorical_crossentropy',
  functions.categoricalCrossentropy,
);
export const SparseCategoricalCrossentropy = lossClass(
  'sparse_categorical_crossentropy',
  functions.sparseCategoricalCrossentropy,
);

/** Every loss by its ids. */
export const LOSS_FUNCTIONS: Readonly<Record<string, functions.LossFunction>> = {
  mean_squared_error: functions.meanSquaredError,
  mse: functions.meanSquaredError,
  mean_absolute_error: functions.meanAbsoluteError,
  mae: functions.meanAbsoluteError,
  mean_absolute_percentage_error: functions.meanAbsolutePercentageError,
  mape: functions.meanAbsolutePercentageError,
  mean_squared_logarithmic_error: functions.meanSquaredLogarithmicError,
  msle: functions.meanSquaredLogarithmicError,
  huber: functions.huber,
  log_cosh: functions.logCosh,
  logcosh: functions.logCosh,
  poisson: functions.poisson,
  hinge: functions.hinge,
  squared_hinge: functions.squaredHinge,
  cosine_similarity: functions.cosineSimilarity,
  kl_divergence: functions.klDivergence,
  binary_crossentropy: functions.binaryCrossentropy,
  bce: functions.binaryCrossentropy,
  categorical_crossentropy: functions.categoricalCrossentropy,
  sparse_categorical_crossentropy: functions.sparseCategoricalCrossentropy,
};

/** An id such as 'mse', a loss, or a function of targets and predictions. */
export type LossId = string | Loss | functions.LossFunction;

/** @throws KerasError UNKNOWN_ID */
export function asLoss(id: LossId): Loss {
  if (id instanceof Loss) return id;
  return typeof id === 'string' ? new Loss(lookUp('loss', id, LOSS_FUNCTIONS), { name: id }) : new Loss(id);
}
