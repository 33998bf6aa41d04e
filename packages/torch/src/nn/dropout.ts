import { TorchError } from '@mezzo/libtorch';
import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/dropout.ts';
import { Layer } from './layer.ts';

abstract class DropoutLayer extends Layer {
  p: number;
  readonly inplace: boolean;

  constructor(p = 0.5, options: { inplace?: boolean } = {}) {
    super();
    if (p < 0 || p > 1) {
      throw new TorchError('VALUE', `dropout probability has to be between 0 and 1, but got ${p}`);
    }
    this.p = p;
    this.inplace = options.inplace ?? false;
  }

  override extraRepr(): string {
    return `p=${this.p}, inplace=${this.inplace ? 'True' : 'False'}`;
  }
}

/** Zeroes elements with probability p while training (Hinton et al. 2012). */
export class Dropout extends DropoutLayer {
  override forward(input: Tensor): Tensor {
    return F.dropout(input, this.p, this);
  }
}

/** Zeroes whole channels while training. */
export class Dropout2d extends DropoutLayer {
  override forward(input: Tensor): Tensor {
    return F.dropout2d(input, this.p, this);
  }
}
