import { nn, onesLike, randnLike, type Tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import { requireRank, type Shape } from '../graph/shape.ts';
import { AXES } from './conv.ts';
import { type CallOptions, Layer, type LayerOptions } from './layer.ts';

/** Zeroes a share `rate` of the values in training and scales the others by 1 / (1 - rate). */
export class Dropout extends Layer {
  readonly rate: number;

  constructor(rate: number, options: LayerOptions = {}) {
    super(options);
    if (!(rate >= 0 && rate <= 1)) {
      throw new KerasError('BAD_OPTION', `layer '${this.name}': rate must be between 0 and 1, not ${rate}`);
    }
    this.rate = rate;
  }

  protected override compute(x: Tensor, { training }: Required<CallOptions>): Tensor {
    return training && this.rate > 0 ? this.drop(x) : x;
  }

  protected drop(x: Tensor): Tensor {
    return nn.functional.dropout(x, this.rate);
  }
}

/** Drops whole channels of x [batch, rows, columns, channels]. */
export class SpatialDropout2D extends Dropout {
  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, 4, AXES[2]);
    return inputShape;
  }

  protected override drop(x: Tensor): Tensor {
    return x.mul(super.drop(onesLike(x.detach().narrow(1, 0, 1).narrow(2, 0, 1))));
  }
}

/** Adds normal noise in training. */
export class GaussianNoise extends Layer {
  readonly stddev: number;

  constructor(stddev: number, options: LayerOptions = {}) {
    super(options);
    if (!(stddev >= 0)) {
      throw new KerasError('BAD_OPTION', `layer '${this.name}': stddev must be at least 0, not ${stddev}`);
    }
    this.stddev = stddev;
  }

  protected override compute(x: Tensor, { training }: Required<CallOptions>): Tensor {
    return training && this.stddev > 0 ? x.add(randnLike(x).mul(this.stddev)) : x;
  }
}
