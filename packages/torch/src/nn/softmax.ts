import { TorchError } from '@mezzo/libtorch';
import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/activation.ts';
import { Layer } from './layer.ts';

/** A layer that works along one dimension. */
abstract class AlongDimension extends Layer {
  readonly dim: number;

  constructor(dim: number) {
    super();
    this.dim = dim;
  }

  override extraRepr(): string {
    return `dim=${this.dim}`;
  }
}

export class Softmax extends AlongDimension {
  override forward(input: Tensor): Tensor {
    return F.softmax(input, this.dim);
  }
}

export class LogSoftmax extends AlongDimension {
  override forward(input: Tensor): Tensor {
    return F.logSoftmax(input, this.dim);
  }
}

export class Softmin extends AlongDimension {
  override forward(input: Tensor): Tensor {
    return F.softmin(input, this.dim);
  }
}

/** Over the channels of every place. Input [N, C, H, W] or [C, H, W]. */
export class Softmax2d extends Layer {
  override forward(input: Tensor): Tensor {
    const { ndim } = input;
    if (ndim !== 3 && ndim !== 4) {
      throw new TorchError('VALUE', `Softmax2d: expected input to be 3D or 4D, got ${ndim}D instead`);
    }
    return F.softmax(input, -3);
  }
}

/** First half times the sigmoid of the second half (Dauphin et al. 2017). */
export class GLU extends AlongDimension {
  constructor(dim = -1) {
    super(dim);
  }

  override forward(input: Tensor): Tensor {
    return F.glu(input, this.dim);
  }
}
