import { TorchError } from '@mezzo/libtorch';
import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';

export interface DropoutOptions {
  training?: boolean;
  inplace?: boolean;
}

/** `dims` is how many dimensions an input with a batch has, where the operation needs one. */
const dropping = (name: string, dims?: number) => {
  const fresh = op(`aten::${name}`);
  const inplace = op(`aten::${name}_`);
  return (input: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor => {
    if (p < 0 || p > 1) {
      throw new TorchError('VALUE', `dropout probability has to be between 0 and 1, but got ${p}`);
    }
    const drop = (x: Tensor) => (options.inplace ? inplace : fresh)(x, p, options.training ?? true);
    return dims !== undefined && input.ndim === dims - 1 ? drop(input.unsqueeze(0)).squeeze(0) : drop(input);
  };
};

/** Zeroes elements with probability p and scales the rest by 1 / (1 - p). */
export const dropout = dropping('dropout');
/** Zeroes whole channels of [N, C, L] or [C, L]. */
export const dropout1d = dropping('feature_dropout', 3);
/** Zeroes whole channels of [N, C, H, W]. */
export const dropout2d = dropping('feature_dropout');
/** Zeroes whole channels of [N, C, D, H, W] or [C, D, H, W]. */
export const dropout3d = dropping('feature_dropout', 5);
/** Keeps mean and variance of SELU networks. */
export const alphaDropout = dropping('alpha_dropout');
/** `alphaDropout` of whole channels. */
export const featureAlphaDropout = dropping('feature_alpha_dropout');
