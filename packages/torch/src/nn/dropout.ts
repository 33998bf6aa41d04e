import { TorchError } from '@mezzo/libtorch';
import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/dropout.ts';
import { Layer } from './layer.ts';
import { pythonBool, pythonFloat } from './python-repr.ts';

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
    return `p=${pythonFloat(this.p)}, inplace=${pythonBool(this.inplace)}`;
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

/** Zeroes whole channels of [N, C, L] or [C, L] while training. */
export class Dropout1d extends DropoutLayer {
  override forward(input: Tensor): Tensor {
    return F.dropout1d(input, this.p, this);
  }
}

/** Zeroes whole channels of [N, C, D, H, W] or [C, D, H, W] while training. */
export class Dropout3d extends DropoutLayer {
  override forward(input: Tensor): Tensor {
    return F.dropout3d(input, this.p, this);
  }
}

/** Keeps mean and variance of SELU networks (Klambauer et al. 2017). */
export class AlphaDropout extends DropoutLayer {
  override forward(input: Tensor): Tensor {
    return F.alphaDropout(input, this.p, this);
  }
}

/** `AlphaDropout` of whole channels. */
export class FeatureAlphaDropout extends DropoutLayer {
  override forward(input: Tensor): Tensor {
    return F.featureAlphaDropout(input, this.p, this);
  }
}
