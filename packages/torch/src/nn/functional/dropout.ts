import { TorchError } from '@mezzo/libtorch';
import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';

export interface DropoutOptions {
  training?: boolean;
  inplace?: boolean;
}

const dropping = (name: string) => {
  const fresh = op(`aten::${name}`);
  const inplace = op(`aten::${name}_`);
  return (input: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor => {
    if (p < 0 || p > 1) {
      throw new TorchError('VALUE', `dropout probability has to be between 0 and 1, but got ${p}`);
    }
    return (options.inplace ? inplace : fresh)(input, p, options.training ?? true);
  };
};

/** Zeroes elements with probability p and scales the rest by 1 / (1 - p). */
export const dropout = dropping('dropout');
/** Zeroes whole channels. */
export const dropout2d = dropping('feature_dropout');
/** Keeps mean and variance of SELU networks. */
export const alphaDropout = dropping('alpha_dropout');
