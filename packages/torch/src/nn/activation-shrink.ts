import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/activation.ts';
import { Layer } from './layer.ts';
import { pythonFloat } from './python-repr.ts';

/** An activation with one number in it. */
abstract class Shrink extends Layer {
  readonly lambda: number;

  constructor(lambda = 0.5) {
    super();
    this.lambda = lambda;
  }

  override extraRepr(): string {
    return String(this.lambda);
  }
}

/** x where |x| > lambda, else 0. */
export class Hardshrink extends Shrink {
  override forward(input: Tensor): Tensor {
    return F.hardshrink(input, this.lambda);
  }
}

/** x moved towards 0 by lambda. */
export class Softshrink extends Shrink {
  override forward(input: Tensor): Tensor {
    return F.softshrink(input, this.lambda);
  }
}

/** x - tanh(x) */
export class Tanhshrink extends Layer {
  override forward(input: Tensor): Tensor {
    return F.tanhshrink(input);
  }
}

/** x / (1 + |x|) */
export class Softsign extends Layer {
  override forward(input: Tensor): Tensor {
    return F.softsign(input);
  }
}

/** log(sigmoid(x)), safe where the sigmoid underflows. */
export class LogSigmoid extends Layer {
  override forward(input: Tensor): Tensor {
    return F.logSigmoid(input);
  }
}

/** x kept between min and max. */
export class Hardtanh extends Layer {
  readonly minVal: number;
  readonly maxVal: number;
  readonly inplace: boolean;

  constructor(minVal = -1, maxVal = 1, options: F.InplaceOption = {}) {
    super();
    this.minVal = minVal;
    this.maxVal = maxVal;
    this.inplace = options.inplace ?? false;
  }

  override forward(input: Tensor): Tensor {
    return F.hardtanh(input, this.minVal, this.maxVal, this);
  }

  override extraRepr(): string {
    const bounds = `min_val=${pythonFloat(this.minVal)}, max_val=${pythonFloat(this.maxVal)}`;
    return bounds + (this.inplace ? ', inplace=True' : '');
  }
}

/** x where x > threshold, else value. */
export class Threshold extends Layer {
  readonly threshold: number;
  readonly value: number;
  readonly inplace: boolean;

  constructor(threshold: number, value: number, options: F.InplaceOption = {}) {
    super();
    this.threshold = threshold;
    this.value = value;
    this.inplace = options.inplace ?? false;
  }

  override forward(input: Tensor): Tensor {
    return F.threshold(input, this.threshold, this.value, this);
  }

  override extraRepr(): string {
    return `threshold=${this.threshold}, value=${this.value}${this.inplace ? ', inplace=True' : ''}`;
  }
}

/** An ELU with a continuous derivative for every alpha. */
export class CELU extends Layer {
  readonly alpha: number;
  readonly inplace: boolean;

  constructor(alpha = 1, options: F.InplaceOption = {}) {
    super();
    this.alpha = alpha;
    this.inplace = options.inplace ?? false;
  }

  override forward(input: Tensor): Tensor {
    return F.celu(input, this.alpha, this);
  }

  override extraRepr(): string {
    return `alpha=${pythonFloat(this.alpha)}${this.inplace ? ', inplace=True' : ''}`;
  }
}

/** A leaky ReLU whose slope is drawn from [lower, upper] while training. */
export class RReLU extends Layer {
  readonly lower: number;
  readonly upper: number;
  readonly inplace: boolean;

  constructor(lower = 1 / 8, upper = 1 / 3, options: F.InplaceOption = {}) {
    super();
    this.lower = lower;
    this.upper = upper;
    this.inplace = options.inplace ?? false;
  }

  override forward(input: Tensor): Tensor {
    return F.rrelu(input, this.lower, this.upper, this);
  }

  override extraRepr(): string {
    return `lower=${this.lower}, upper=${this.upper}${this.inplace ? ', inplace=True' : ''}`;
  }
}
