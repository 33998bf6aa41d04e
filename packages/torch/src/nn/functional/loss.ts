import { TorchError } from '@mezzo/libtorch';
import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { type Reduction, type ReductionOption, reductionOf } from './reduction.ts';

const mseOp = op('aten::mse_loss');
const l1Op = op('aten::l1_loss');
const smoothL1Op = op('aten::smooth_l1_loss');
const huberOp = op('aten::huber_loss');
const crossEntropyOp = op('aten::cross_entropy_loss');
const nllOp = op('aten::nll_loss_nd');
const bceOp = op('aten::binary_cross_entropy');
const bceLogitsOp = op('aten::binary_cross_entropy_with_logits');
const klDivOp = op('aten::kl_div');

/** (input - target)² */
export const mseLoss = (input: Tensor, target: Tensor, options: ReductionOption = {}): Tensor =>
  mseOp(input, target, reductionOf(options.reduction));

/** |input - target| */
export const l1Loss = (input: Tensor, target: Tensor, options: ReductionOption = {}): Tensor =>
  l1Op(input, target, reductionOf(options.reduction));

/** Quadratic below `beta`, linear above (Fast R-CNN). */
export const smoothL1Loss = (
  input: Tensor,
  target: Tensor,
  options: ReductionOption & { beta?: number } = {},
): Tensor => smoothL1Op(input, target, reductionOf(options.reduction), options.beta ?? 1);

export const huberLoss = (
  input: Tensor,
  target: Tensor,
  options: ReductionOption & { delta?: number } = {},
): Tensor => huberOp(input, target, reductionOf(options.reduction), options.delta ?? 1);

export interface ClassLossOptions extends ReductionOption {
  /** One factor a class. */
  weight?: Tensor | null;
  /** Targets of this class are left out. */
  ignoreIndex?: number;
}

/** Logits [N, C, …] against class indices [N, …] (int64) or class probabilities of the input's shape. */
export const crossEntropy = (
  input: Tensor,
  target: Tensor,
  options: ClassLossOptions & { labelSmoothing?: number } = {},
): Tensor =>
  crossEntropyOp(
    input,
    target,
    options.weight ?? null,
    reductionOf(options.reduction),
    options.ignoreIndex ?? -100,
    options.labelSmoothing ?? 0,
  );

/** Log-probabilities [N, C, …] against class indices [N, …]. */
export const nllLoss = (input: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor =>
  nllOp(input, target, options.weight ?? null, reductionOf(options.reduction), options.ignoreIndex ?? -100);

/** Probabilities against targets in [0, 1]; unsafe in fp16, which is why CUDA's autocast refuses it. */
export const binaryCrossEntropy = (
  input: Tensor,
  target: Tensor,
  options: ReductionOption & { weight?: Tensor | null } = {},
): Tensor => bceOp(input, target, options.weight ?? null, reductionOf(options.reduction));

export interface BCEWithLogitsOptions extends ReductionOption {
  weight?: Tensor | null;
  /** Weight of positive examples, one a class. */
  posWeight?: Tensor | null;
}

/** Logits against targets in [0, 1]. */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  options: BCEWithLogitsOptions = {},
): Tensor {
  const [given, wanted] = [target.shape, input.shape];
  if (given.length !== wanted.length || given.some((size, i) => size !== wanted[i])) {
    throw new TorchError(
      'VALUE',
      `Target size (torch.Size([${given.join(', ')}])) must be the same as input size ` +
        `(torch.Size([${wanted.join(', ')}]))`,
    );
  }
  const { weight = null, posWeight = null, reduction } = options;
  return bceLogitsOp(input, target, weight, posWeight, reductionOf(reduction));
}

export interface KLDivOptions {
  reduction?: Reduction | 'batchmean';
  /** The target is log-probabilities too. */
  logTarget?: boolean;
}

/** Kullback-Leibler divergence of log-probabilities from probabilities; 'batchmean' divides by the batch. */
export function klDiv(input: Tensor, target: Tensor, options: KLDivOptions = {}): Tensor {
  const { reduction = 'mean', logTarget = false } = options;
  if (reduction !== 'batchmean') {
    return klDivOp(input, target, reductionOf(reduction), { log_target: logTarget });
  }
  return klDivOp(input, target, reductionOf('sum'), { log_target: logTarget }).div(input.size(0));
}
