import { nn, op, type Tensor } from '@mezzo/torch';
import { EPSILON } from '../config.ts';
import { KerasError } from '../errors.ts';
import { shapeText } from '../graph/shape.ts';
import { sameRank } from './rank.ts';

/** The loss of each sample (and each position but the last axis). */
export type LossFunction = (yTrue: Tensor, yPred: Tensor, options?: CrossentropyOptions) => Tensor;

export interface CrossentropyOptions {
  /** Predictions are logits instead of probabilities. */
  fromLogits?: boolean;
  /** Share of each label that is spread over all classes. */
  labelSmoothing?: number;
}

const bceOp = op('aten::binary_cross_entropy');
const bceLogitsOp = op('aten::binary_cross_entropy_with_logits');
const NO_REDUCTION = 0;

type Pointwise = (yTrue: Tensor, yPred: Tensor) => Tensor;

/** The mean over the last axis of what `pointwise` gives for each element. */
const averaged =
  (name: string, pointwise: Pointwise): LossFunction =>
  (yTrue, yPred) => {
    const [truth, prediction] = sameRank(yTrue.to(yPred.dtype), yPred);
    requireSameShape(name, truth, prediction);
    return pointwise(truth, prediction).mean(-1);
  };

export const meanSquaredError = averaged('mean_squared_error', (t, p) => t.sub(p).square());
export const meanAbsoluteError = averaged('mean_absolute_error', (t, p) => t.sub(p).abs());
export const meanAbsolutePercentageError: LossFunction = (yTrue, yPred) =>
  averaged('mean_absolute_percentage_error', (t, p) => t.sub(p).div(t.abs().clampMin(EPSILON)).abs())(
    yTrue,
    yPred,
  ).mul(100);
export const meanSquaredLogarithmicError = averaged('mean_squared_logarithmic_error', (t, p) =>
  p.clampMin(EPSILON).add(1).log().sub(t.clampMin(EPSILON).add(1).log()).square(),
);
/** Huber's loss with delta 1. */
export const huber = averaged('huber', (t, p) => nn.functional.huberLoss(p, t, { reduction: 'none' }));
export const logCosh = averaged('log_cosh', (t, p) => {
  const difference = p.sub(t);
  return difference.add(difference.mul(-2).softplus()).sub(Math.LN2);
});
export const poisson = averaged('poisson', (t, p) => p.sub(t.mul(p.add(EPSILON).log())));
/** Labels 0 and 1 count as -1 and 1. */
export const hinge = averaged('hinge', (t, p) => signed(t).mul(p).neg().add(1).clampMin(0));
export const squaredHinge = averaged('squared_hinge', (t, p) =>
  signed(t).mul(p).neg().add(1).clampMin(0).square(),
);

/** -Σ of the products of the unit vectors: -1 for the same direction. */
export const cosineSimilarity: LossFunction = (yTrue, yPred) => {
  const [truth, prediction] = sameRank(yTrue.to(yPred.dtype), yPred);
  requireSameShape('cosine_similarity', truth, prediction);
  return unit(truth).mul(unit(prediction)).sum(-1).neg();
};

export const klDivergence: LossFunction = (yTrue, yPred) => {
  const [truth, prediction] = [yTrue.to(yPred.dtype).clamp(EPSILON, 1), yPred.clamp(EPSILON, 1)];
  requireSameShape('kl_divergence', truth, prediction);
  return truth.mul(truth.div(prediction).log()).sum(-1);
};

/** Labels 0 or 1 of the shape of the predictions. */
export const binaryCrossentropy: LossFunction = (yTrue, yPred, options = {}) => {
  const { fromLogits = false, labelSmoothing = 0 } = options;
  const [labels, prediction] = sameRank(yTrue.to(yPred.dtype), yPred);
  requireSameShape('binary_crossentropy', labels, prediction);
  const truth = labelSmoothing === 0 ? labels : labels.mul(1 - labelSmoothing).add(0.5 * labelSmoothing);
  const losses = fromLogits
    ? bceLogitsOp(prediction, truth, null, null, NO_REDUCTION)
    : bceOp(prediction.clamp(EPSILON, 1 - EPSILON), truth, null, NO_REDUCTION);
  return losses.mean(-1);
};

/** Labels as one row of class probabilities a sample. */
export const categoricalCrossentropy: LossFunction = (yTrue, yPred, options = {}) => {
  const { fromLogits = false, labelSmoothing = 0 } = options;
  const labels = yTrue.to(yPred.dtype);
  requireSameShape('categorical_crossentropy', labels, yPred);
  const classes = yPred.size(-1);
  const truth = labelSmoothing === 0 ? labels : labels.mul(1 - labelSmoothing).add(labelSmoothing / classes);
  return truth.mul(logProbabilities(yPred, fromLogits)).sum(-1).neg();
};

/** Labels as class numbers, one a sample. */
export const sparseCategoricalCrossentropy: LossFunction = (yTrue, yPred, { fromLogits = false } = {}) => {
  const column = yTrue.ndim === yPred.ndim && yTrue.size(-1) === 1;
  const labels = column ? yTrue.squeeze(-1) : yTrue;
  if (String(labels.shape) !== String(yPred.shape.slice(0, -1))) {
    throw new KerasError(
      'SHAPE_MISMATCH',
      `sparse_categorical_crossentropy: expected labels of shape ${shapeText(yPred.shape.slice(0, -1))} for ` +
        `predictions of shape ${shapeText(yPred.shape)}, but they have shape ${shapeText(yTrue.shape)}`,
      'labels are class numbers here; rows of probabilities go with categorical_crossentropy',
    );
  }
  return logProbabilities(yPred, fromLogits).gather(-1, labels.to('int64').unsqueeze(-1)).squeeze(-1).neg();
};

/** Probabilities are brought to a sum of 1 and kept off 0 and 1 first, as in Keras. */
const logProbabilities = (yPred: Tensor, fromLogits: boolean): Tensor =>
  fromLogits
    ? yPred.logSoftmax(-1)
    : yPred
        .div(yPred.sum(-1, true))
        .clamp(EPSILON, 1 - EPSILON)
        .log();

function signed(labels: Tensor): Tensor {
  const binary = labels.eq(0).logicalOr(labels.eq(1)).all();
  return labels.mul(2).sub(1).where(binary, labels);
}

const unit = (x: Tensor): Tensor => x.mul(x.square().sum(-1, true).clampMin(1e-12).rsqrt());

function requireSameShape(loss: string, yTrue: Tensor, yPred: Tensor): void {
  if (String(yTrue.shape) === String(yPred.shape)) return;
  throw new KerasError(
    'SHAPE_MISMATCH',
    `${loss}: expected targets of the predictions' shape ${shapeText(yPred.shape)}, ` +
      `but they have shape ${shapeText(yTrue.shape)}`,
  );
}
