import { full } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/activation.ts';
import { type FactoryOptions, Layer } from './layer.ts';
import { Parameter } from './parameter.ts';
import { pythonFloat } from './python-repr.ts';

/** An activation without parameters that can overwrite its input. */
abstract class Activation extends Layer {
  readonly inplace: boolean;

  constructor(options: F.InplaceOption = {}) {
    super();
    this.inplace = options.inplace ?? false;
  }

  override extraRepr(): string {
    return this.inplace ? 'inplace=True' : '';
  }
}

export class ReLU extends Activation {
  override forward(input: Tensor): Tensor {
    return F.relu(input, this);
  }
}

export class ReLU6 extends Activation {
  override forward(input: Tensor): Tensor {
    return F.relu6(input, this);
  }
}

/** x · sigmoid(x), also called swish. */
export class SiLU extends Activation {
  override forward(input: Tensor): Tensor {
    return F.silu(input, this);
  }
}

export class Mish extends Activation {
  override forward(input: Tensor): Tensor {
    return F.mish(input, this);
  }
}

export class SELU extends Activation {
  override forward(input: Tensor): Tensor {
    return F.selu(input, this);
  }
}

export class Hardswish extends Activation {
  override forward(input: Tensor): Tensor {
    return F.hardswish(input, this);
  }
}

export class Hardsigmoid extends Activation {
  override forward(input: Tensor): Tensor {
    return F.hardsigmoid(input, this);
  }
}

export class LeakyReLU extends Activation {
  readonly negativeSlope: number;

  constructor(negativeSlope = 0.01, options: F.InplaceOption = {}) {
    super(options);
    this.negativeSlope = negativeSlope;
  }

  override forward(input: Tensor): Tensor {
    return F.leakyRelu(input, this.negativeSlope, this);
  }

  override extraRepr(): string {
    return `negative_slope=${this.negativeSlope}${this.inplace ? ', inplace=True' : ''}`;
  }
}

export class ELU extends Activation {
  readonly alpha: number;

  constructor(alpha = 1, options: F.InplaceOption = {}) {
    super(options);
    this.alpha = alpha;
  }

  override forward(input: Tensor): Tensor {
    return F.elu(input, this.alpha, this);
  }

  override extraRepr(): string {
    return `alpha=${pythonFloat(this.alpha)}${this.inplace ? ', inplace=True' : ''}`;
  }
}

export class Sigmoid extends Layer {
  override forward(input: Tensor): Tensor {
    return F.sigmoid(input);
  }
}

export class Tanh extends Layer {
  override forward(input: Tensor): Tensor {
    return F.tanh(input);
  }
}

export class GELU extends Layer {
  readonly approximate: 'none' | 'tanh';

  constructor(options: { approximate?: 'none' | 'tanh' } = {}) {
    super();
    this.approximate = options.approximate ?? 'none';
  }

  override forward(input: Tensor): Tensor {
    return F.gelu(input, this);
  }

  override extraRepr(): string {
    return `approximate='${this.approximate}'`;
  }
}

export class Softplus extends Layer {
  readonly beta: number;
  readonly threshold: number;

  constructor(beta = 1, threshold = 20) {
    super();
    this.beta = beta;
    this.threshold = threshold;
  }

  override forward(input: Tensor): Tensor {
    return F.softplus(input, this.beta, this.threshold);
  }

  override extraRepr(): string {
    return `beta=${pythonFloat(this.beta)}, threshold=${pythonFloat(this.threshold)}`;
  }
}

/** A leaky ReLU that learns its slope: one, or one a channel. */
export class PReLU extends Layer {
  readonly numParameters: number;
  weight: Parameter;

  constructor(numParameters = 1, init = 0.25, options: FactoryOptions = {}) {
    super();
    this.numParameters = numParameters;
    this.weight = new Parameter(full([numParameters], init, options));
  }

  override forward(input: Tensor): Tensor {
    return F.prelu(input, this.weight);
  }

  override extraRepr(): string {
    return `num_parameters=${this.numParameters}`;
  }
}
