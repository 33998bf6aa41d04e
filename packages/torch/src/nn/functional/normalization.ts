import { TorchError } from '@mezzo/libtorch';
import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { avgPool2d } from './pooling.ts';
import { pad } from './resample.ts';

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
const rmsNormOp = op('aten::rms_norm');

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

export interface InstanceNormOptions {
  weight?: Tensor | null;
  bias?: Tensor | null;
  runningMean?: Tensor | null;
  runningVar?: Tensor | null;
  /** Normalise by the statistics of each sample, not by the running ones. */
  useInputStats?: boolean;
  momentum?: number;
  eps?: number;
}

/** Over each channel of each sample of [N, C, …]. */
export function instanceNorm(input: Tensor, options: InstanceNormOptions = {}): Tensor {
  const { weight = null, bias = null, runningMean = null, runningVar = null } = options;
  const { useInputStats = true, momentum = 0.1, eps = 1e-5 } = options;
  return instanceNormOp(input, weight, bias, runningMean, runningVar, useInputStats, momentum, eps, true);
}

/** x / sqrt(mean(x²) + eps) over the last dimensions; eps defaults to the dtype's machine epsilon. */
export const rmsNorm = (
  input: Tensor,
  normalizedShape: readonly number[],
  weight: Tensor | null = null,
  eps: number | null = null,
): Tensor => rmsNormOp(input, normalizedShape, weight, eps);

/** Divides by the size of the neighbouring channels (Krizhevsky et al. 2012). Input [N, C, …]. */
export function localResponseNorm(
  input: Tensor,
  size: number,
  options: { alpha?: number; beta?: number; k?: number } = {},
): Tensor {
  const { alpha = 1e-4, beta = 0.75, k = 1 } = options;
  const { shape } = input;
  if (shape.length < 3) {
    throw new TorchError(
      'VALUE',
      `Expected 3D or higher dimensionality input (got ${shape.length} dimensions)`,
    );
  }
  const [batch, channels] = shape as [number, number];
  const squares = pad(input.square().view([batch, 1, channels, -1]), [
    0,
    0,
    Math.floor(size / 2),
    Math.floor((size - 1) / 2),
  ]);
  const means = avgPool2d(squares, [size, 1], { stride: 1 }).view(shape);
  return input.div(means.mul(alpha).add(k).pow(beta));
}

/** input / max(p-norm along dim, eps) */
export const normalize = (
  input: Tensor,
  options: { p?: number; dim?: number; eps?: number } = {},
): Tensor => {
  const { p = 2, dim = 1, eps = 1e-12 } = options;
  return input.div(input.norm(p, dim, true).clampMin(eps).expandAs(input));
};
