import { TorchError } from '@mezzo/libtorch';
import { op } from '../../ops/call.ts';
import { minimum } from '../../tensor/compose.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { logSigmoid } from './activation.ts';
import { pairwiseDistance } from './distance.ts';
import { type ReductionOption, reduce, reductionOf } from './reduction.ts';

/** Losses that compare or rank, with a margin. */

const cosineEmbeddingOp = op('aten::cosine_embedding_loss');
const hingeEmbeddingOp = op('aten::hinge_embedding_loss');
const marginRankingOp = op('aten::margin_ranking_loss');
const tripletMarginOp = op('aten::triplet_margin_loss');
const softMarginOp = op('aten::soft_margin_loss');
const multiMarginOp = op('aten::multi_margin_loss');
const multilabelMarginOp = op('aten::multilabel_margin_loss');

export interface MarginOptions extends ReductionOption {
  margin?: number;
}

/** 1 - cos(a, b) where target is 1, max(0, cos(a, b) - margin) where it is -1. a, b [N, D], target [N]. */
export const cosineEmbeddingLoss = (
  a: Tensor,
  b: Tensor,
  target: Tensor,
  options: MarginOptions = {},
): Tensor => cosineEmbeddingOp(a, b, target, options.margin ?? 0, reductionOf(options.reduction));

/** x where target is 1, max(0, margin - x) where it is -1. */
export const hingeEmbeddingLoss = (input: Tensor, target: Tensor, options: MarginOptions = {}): Tensor =>
  hingeEmbeddingOp(input, target, options.margin ?? 1, reductionOf(options.reduction));

/** max(0, -target · (a - b) + margin), target 1 or -1. */
export const marginRankingLoss = (
  a: Tensor,
  b: Tensor,
  target: Tensor,
  options: MarginOptions = {},
): Tensor => marginRankingOp(a, b, target, options.margin ?? 0, reductionOf(options.reduction));

export interface TripletOptions extends MarginOptions {
  /** Norm of the distance. */
  p?: number;
  eps?: number;
  /** Take the positive's distance to the negative where it is smaller than the anchor's. */
  swap?: boolean;
}

/** max(0, d(anchor, positive) - d(anchor, negative) + margin); all [N, D]. */
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletOptions = {},
): Tensor {
  const { margin = 1, p = 2, eps = 1e-6, swap = false, reduction } = options;
  requirePositive(margin);
  return tripletMarginOp(anchor, positive, negative, margin, p, eps, swap, reductionOf(reduction));
}

export interface TripletDistanceOptions extends MarginOptions {
  /** Default: the Euclidean distance. */
  distanceFunction?: (a: Tensor, b: Tensor) => Tensor;
  swap?: boolean;
}

/** `tripletMarginLoss` with a distance of one's own. */
export function tripletMarginWithDistanceLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletDistanceOptions = {},
): Tensor {
  const { distanceFunction = pairwiseDistance, margin = 1, swap = false } = options;
  requirePositive(margin);
  const near = distanceFunction(anchor, positive);
  const far = distanceFunction(anchor, negative);
  const other = swap ? minimum(far, distanceFunction(positive, negative)) : far;
  return reduce(near.sub(other).add(margin).clampMin(0), options);
}

function requirePositive(margin: number): void {
  if (!(margin > 0)) throw new TorchError('VALUE', `margin must be greater than 0, got ${margin}`);
}

/** log(1 + exp(-target · input)), target 1 or -1. */
export const softMarginLoss = (input: Tensor, target: Tensor, options: ReductionOption = {}): Tensor =>
  softMarginOp(input, target, reductionOf(options.reduction));

export interface MultiMarginOptions extends MarginOptions {
  /** 1 or 2. */
  p?: number;
  /** One factor a class. */
  weight?: Tensor | null;
}

/** Mean of max(0, margin - x[target] + x[i])^p over the other classes. input [N, C], target [N]. */
export const multiMarginLoss = (input: Tensor, target: Tensor, options: MultiMarginOptions = {}): Tensor =>
  multiMarginOp(
    input,
    target,
    options.p ?? 1,
    options.margin ?? 1,
    options.weight ?? null,
    reductionOf(options.reduction),
  );

/** input [N, C]; target [N, C] lists the classes of each sample, -1 ends the list. */
export const multilabelMarginLoss = (input: Tensor, target: Tensor, options: ReductionOption = {}): Tensor =>
  multilabelMarginOp(input, target, reductionOf(options.reduction));

/** Binary cross entropy of every class, averaged over classes. input, target [N, C]. */
export function multilabelSoftMarginLoss(
  input: Tensor,
  target: Tensor,
  options: ReductionOption & { weight?: Tensor | null } = {},
): Tensor {
  const positive = target.mul(logSigmoid(input));
  const negative = target.rsub(1).mul(logSigmoid(input.neg()));
  const losses = positive.add(negative).neg();
  const weighted = options.weight ? losses.mul(options.weight) : losses;
  return reduce(weighted.mean(-1), options);
}
