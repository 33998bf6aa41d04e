import { TorchError } from '@mezzo/libtorch';
import { noGrad } from '../../autograd/modes.ts';
import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { type ReductionOption, reduce, reductionOf } from './reduction.ts';

/** Negative log-likelihoods of distributions. */

const poissonOp = op('aten::poisson_nll_loss');

export interface PoissonNLLOptions extends ReductionOption {
  /** The input is the logarithm of the rate. Default: true. */
  logInput?: boolean;
  /** Add Stirling's approximation of log(target!). */
  full?: boolean;
  eps?: number;
}

/** Of counts under Poisson distributions. */
export const poissonNllLoss = (input: Tensor, target: Tensor, options: PoissonNLLOptions = {}): Tensor =>
  poissonOp(
    input,
    target,
    options.logInput ?? true,
    options.full ?? false,
    options.eps ?? 1e-8,
    reductionOf(options.reduction),
  );

export interface GaussianNLLOptions extends ReductionOption {
  /** Add the constant ½ log 2π. */
  full?: boolean;
  /** Smallest variance. */
  eps?: number;
}

/**
 * Of values under normal distributions of mean `input` and variance `variance`, which has the input's shape,
 * the same with a last dimension of one, or the same without the last dimension.
 * @throws TorchError VALUE when a variance is negative (the host waits for the device) or of another shape
 */
export function gaussianNllLoss(
  input: Tensor,
  target: Tensor,
  variance: Tensor,
  options: GaussianNLLOptions = {},
): Tensor {
  const { full = false, eps = 1e-6 } = options;
  // sync: the check is PyTorch's
  if (variance.lt(0).any().item()) throw new TorchError('VALUE', 'var has negative entry/entries');
  const spread = broadcastable(variance, input.shape).clone();
  noGrad(() => spread.clampMin_(eps));
  const losses = input.sub(target).square().div(spread).add(spread.log()).mul(0.5);
  return reduce(full ? losses.add(0.5 * Math.log(2 * Math.PI)) : losses, options);
}

function broadcastable(variance: Tensor, wanted: readonly number[]): Tensor {
  const given = variance.shape;
  if (given.join() === wanted.join()) return variance;
  if (given.join() === wanted.slice(0, -1).join()) return variance.unsqueeze(-1);
  const differing = given.filter((size, i) => size !== wanted[i]);
  if (given.length === wanted.length && differing.length === 1 && differing[0] === 1) return variance;
  throw new TorchError('VALUE', 'var is of incorrect size');
}
