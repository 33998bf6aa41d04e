import { noGrad, scope, type Tensor } from '@mezzo/torch';
import { lookUp } from '../errors.ts';
import type { Shape } from '../graph/shape.ts';
import * as of from '../losses/functions.ts';
import { LOSS_FUNCTIONS } from '../losses/index.ts';
import * as rate from './accuracy.ts';
import { AUC, Precision, Recall } from './confusion.ts';
import { Mean, MeanMetricWrapper, Metric, type MetricFunction } from './metric.ts';

export { AUC, type AUCOptions, Precision, Recall, type ThresholdOptions } from './confusion.ts';
export { Mean, MeanMetricWrapper, Metric, type MetricFunction, readMetrics } from './metric.ts';

type MeanClass = new (options?: { name?: string }) => MeanMetricWrapper;

const meanOf = (name: string, fn: MetricFunction): MeanClass =>
  class extends MeanMetricWrapper {
    constructor({ name: given = name }: { name?: string } = {}) {
      super(fn, given);
    }
  };

export const Accuracy = meanOf('accuracy', rate.accuracy);
export const BinaryAccuracy = meanOf('binary_accuracy', rate.binaryAccuracy);
export const CategoricalAccuracy = meanOf('categorical_accuracy', rate.categoricalAccuracy);
export const SparseCategoricalAccuracy = meanOf(
  'sparse_categorical_accuracy',
  rate.sparseCategoricalAccuracy,
);

export const MeanSquaredError = meanOf('mean_squared_error', of.meanSquaredError);
export const MeanAbsoluteError = meanOf('mean_absolute_error', of.meanAbsoluteError);
export const BinaryCrossentropy = meanOf('binary_crossentropy', of.binaryCrossentropy);
export const CategoricalCrossentropy = meanOf('categorical_crossentropy', of.categoricalCrossentropy);
export const SparseCategoricalCrossentropy = meanOf(
  'sparse_categorical_crossentropy',
  of.sparseCategoricalCrossentropy,
);

/** The cosine itself: as a loss it has the other sign. */
const cosine: MetricFunction = (yTrue, yPred) => of.cosineSimilarity(yTrue, yPred).neg();
export const CosineSimilarity = meanOf('cosine_similarity', cosine);

export class RootMeanSquaredError extends Mean {
  constructor({ name = 'root_mean_squared_error' }: { name?: string } = {}) {
    super(name);
  }

  override updateState(yTrue: Tensor, yPred: Tensor, sampleWeight: Tensor | null = null): void {
    noGrad(() => scope(() => this.add(of.meanSquaredError(yTrue, yPred.float()), sampleWeight)));
  }

  protected override compute(): Tensor {
    return super.compute().sqrt();
  }
}

interface TopKOptions {
  k?: number;
  name?: string;
}

export class TopKCategoricalAccuracy extends MeanMetricWrapper {
  constructor({ k = 5, name = 'top_k_categorical_accuracy' }: TopKOptions = {}) {
    super(rate.topKCategoricalAccuracy(k), name);
  }
}

export class SparseTopKCategoricalAccuracy extends MeanMetricWrapper {
  constructor({ k = 5, name = 'sparse_top_k_categorical_accuracy' }: TopKOptions = {}) {
    super(rate.sparseTopKCategoricalAccuracy(k), name);
  }
}

const RATES: Readonly<Record<string, MetricFunction>> = {
  binary_accuracy: rate.binaryAccuracy,
  categorical_accuracy: rate.categoricalAccuracy,
  sparse_categorical_accuracy: rate.sparseCategoricalAccuracy,
  top_k_categorical_accuracy: rate.topKCategoricalAccuracy(),
  sparse_top_k_categorical_accuracy: rate.sparseTopKCategoricalAccuracy(),
};

/** Metrics that are more than the mean of a rate or a loss. */
const CLASSES: Readonly<Record<string, (name: string) => Metric>> = {
  cosine_similarity: (name) => new CosineSimilarity({ name }),
  root_mean_squared_error: (name) => new RootMeanSquaredError({ name }),
  precision: (name) => new Precision({ name }),
  recall: (name) => new Recall({ name }),
  auc: (name) => new AUC({ name }),
};

type Make = (name: string) => Metric;

const BY_ID: Readonly<Record<string, Make>> = {
  ...Object.fromEntries(
    Object.entries({ ...RATES, ...LOSS_FUNCTIONS }).map(([id, fn]): [string, Make] => [
      id,
      (name) => new MeanMetricWrapper((yTrue, yPred) => fn(yTrue, yPred), name),
    ]),
  ),
  ...CLASSES,
};

/** An id such as 'accuracy', a metric, or a function of targets and predictions. */
export type MetricId = string | Metric | MetricFunction;

/** 'accuracy' is binary for one output, else it goes by the labels: class numbers or rows of probabilities. */
function accuracyFor(yTrue: Shape, yPred: Shape): MetricFunction {
  if (yPred.at(-1) === 1) return rate.binaryAccuracy;
  const sparse = yTrue.length < yPred.length || yTrue.at(-1) === 1;
  return sparse ? rate.sparseCategoricalAccuracy : rate.categoricalAccuracy;
}

/** @throws KerasError UNKNOWN_ID */
export function asMetric(id: MetricId, yTrue: Shape, yPred: Shape): Metric {
  if (id instanceof Metric) return id;
  if (typeof id === 'function') return new MeanMetricWrapper(id, id.name);
  const generic: Make = (name) => new MeanMetricWrapper(accuracyFor(yTrue, yPred), name);
  return lookUp('metric', id, { accuracy: generic, acc: generic, ...BY_ID })(id);
}

/** @throws KerasError UNKNOWN_ID before any data is seen */
export const checkMetric = (id: MetricId): void => {
  if (typeof id === 'string') asMetric(id, [null], [null]);
};
