import { TorchError } from '@mezzo/libtorch';
import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';

export interface BatchNormOptions {
  weight?: Tensor | null;
  bias?: Tensor | null;
  /** Normalise by this batch's statistics and update the running ones. */
  training?: boolean;
  /** Share of the batch in the running statistics. */
  momentum?: number;
  eps?: number;
}

const batchNormOp = op('aten::batch_norm');
const layerNormOp = op('aten::layer_norm');
const groupNormOp = op('aten::group_norm');
const instanceNormOp = op('aten::instance_norm');

/** input [N, C, …]; statistics over all dimensions but C. */
export function batchNorm(
  input: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  options: BatchNormOptions = {},
): Tensor {
  const { weight = null, bias = null, training = false, momentum = 0.1, eps = 1e-5 } = options;
  if (training) requireSeveralValues(input);
  return batchNormOp(input, weight, bias, runningMean, runningVar, training, momentum, eps, true);
}

function requireSeveralValues(input: Tensor): void {
  const shape = input.shape;
  const perChannel = shape.reduce((product, size, dim) => (dim === 1 ? product : product * size), 1);
  if (perChannel === 1) {
    throw new TorchError(
      'VALUE',
      `Expected more than 1 value per channel when training, got input size torch.Size([${shape.join(', ')}])`,
    );
  }
}

/** Over the last dimensions, whose sizes are `normalizedShape`. */
export const layerNorm = (
  input: Tensor,
  normalizedShape: readonly number[],
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor => layerNormOp(input, normalizedShape, weight, bias, eps, true);

/** Over each of `groups` groups of channels of input [N, C, …]. */
export const groupNorm = (
  input: Tensor,
  groups: number,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor => groupNormOp(input, groups, weight, bias, eps, true);

/** Over each channel of each sample. */
export const instanceNorm = (
  input: Tensor,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor => instanceNormOp(input, weight, bias, null, null, true, 0.1, eps, true);

/** input / max(p-norm along dim, eps) */
export const normalize = (
  input: Tensor,
  options: { p?: number; dim?: number; eps?: number } = {},
): Tensor => {
  const { p = 2, dim = 1, eps = 1e-12 } = options;
  return input.div(input.norm(p, dim, true).clampMin(eps).expandAs(input));
};
