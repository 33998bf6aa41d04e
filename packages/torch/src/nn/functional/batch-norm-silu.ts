import { backends } from '../../backends/backends.ts';
import { op } from '../../ops/call.ts';
import type { DType } from '../../tensor/dtype.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { silu } from './activation.ts';
import { type BatchNormOptions, batchNorm } from './normalization.ts';

type Fused = (
  input: Tensor,
  weight: Tensor,
  bias: Tensor,
  runningMean: Tensor,
  runningVar: Tensor,
  momentum: number,
  eps: number,
) => Tensor;

const fused = op<Fused>('mezzo::batch_norm_silu');

const INPUTS: readonly DType[] = ['float32', 'bfloat16'];

/**
 * silu(batchNorm(…)). In training on a CPU, with a channels_last input [N, C, H, W] in float32 or bfloat16, it is one
 * kernel that stores nothing in between (`backends.fusedKernels.enabled`); else it is the two operators.
 */
export function batchNormSilu(
  input: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  options: BatchNormOptions = {},
): Tensor {
  const { weight, bias, training = false, momentum = 0.1, eps = 1e-5 } = options;
  if (training && weight && bias && runningMean && runningVar) {
    const perChannel = [weight, bias, runningMean, runningVar] as const;
    if (fusesBatchNormSilu(input, perChannel)) return fused(input, ...perChannel, momentum, eps);
  }
  return silu(batchNorm(input, runningMean, runningVar, options));
}

/** @internal Whether the kernel takes these tensors. */
export function fusesBatchNormSilu(input: Tensor, perChannel: readonly (Tensor | null)[]): boolean {
  return (
    backends.fusedKernels.enabled &&
    input.device === 'cpu' &&
    input.ndim === 4 &&
    INPUTS.includes(input.dtype) &&
    input.isContiguous('channels_last') &&
    perChannel.every((tensor) => tensor?.dtype === 'float32' && tensor.isContiguous())
  );
}
