import type { Tensor } from '@mezzo/torch';
import { sameRank } from '../losses/rank.ts';
import type { MetricFunction } from './metric.ts';

/** 1 where prediction and target are equal. */
export const accuracy: MetricFunction = (yTrue, yPred) => {
  const [truth, prediction] = sameRank(yTrue.to(yPred.dtype), yPred);
  return truth.eq(prediction).float();
};

/** 1 where a probability lies on the label's side of 0.5. */
export const binaryAccuracy: MetricFunction = (yTrue, yPred) => {
  const [truth, prediction] = sameRank(yTrue.to(yPred.dtype), yPred);
  return truth.eq(prediction.gt(0.5).to(truth.dtype)).float();
};

/** Labels as rows of probabilities. */
export const categoricalAccuracy: MetricFunction = (yTrue, yPred) =>
  yTrue.argmax(-1).eq(yPred.argmax(-1)).float();

/** Labels as class numbers. */
export const sparseCategoricalAccuracy: MetricFunction = (yTrue, yPred) =>
  classNumbers(yTrue, yPred).eq(yPred.argmax(-1)).float();

/** 1 where the label is among the k highest predictions. */
export const sparseTopKCategoricalAccuracy =
  (k = 5): MetricFunction =>
  (yTrue, yPred) => {
    const best = yPred.topk(Math.min(k, yPred.size(-1)))[1];
    return best.eq(classNumbers(yTrue, yPred).unsqueeze(-1)).any(-1).float();
  };

export const topKCategoricalAccuracy =
  (k = 5): MetricFunction =>
  (yTrue, yPred) =>
    sparseTopKCategoricalAccuracy(k)(yTrue.argmax(-1), yPred);

function classNumbers(yTrue: Tensor, yPred: Tensor): Tensor {
  const column = yTrue.ndim === yPred.ndim && yTrue.size(-1) === 1;
  return (column ? yTrue.squeeze(-1) : yTrue).to('int64');
}
