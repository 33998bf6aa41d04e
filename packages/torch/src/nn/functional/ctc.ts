import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { type ReductionOption, reductionOf } from './reduction.ts';

const ctcOp = op('aten::ctc_loss');

export interface CtcOptions extends ReductionOption {
  /** The class of the blank. */
  blank?: number;
  /** Losses that are infinite (a target longer than its input) and their gradients count as zero. */
  zeroInfinity?: boolean;
}

/**
 * Connectionist temporal classification (Graves et al. 2006); 'mean' divides by the target lengths, then
 * averages over the batch. Autocast runs it in float32.
 * @param logProbs [T, N, C] or [T, C]
 * @param targets classes [N, S], or all of them one after the other
 * @param inputLengths how many of the T steps, one number a sample
 * @param targetLengths one number a sample
 */
export const ctcLoss = (
  logProbs: Tensor,
  targets: Tensor,
  inputLengths: Tensor | readonly number[],
  targetLengths: Tensor | readonly number[],
  options: CtcOptions = {},
): Tensor =>
  ctcOp(
    logProbs,
    targets,
    inputLengths,
    targetLengths,
    options.blank ?? 0,
    reductionOf(options.reduction),
    options.zeroInfinity ?? false,
  );
