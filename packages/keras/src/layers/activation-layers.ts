import { type nn, op, type Tensor } from '@mezzo/torch';
import {
  type Activation as ActivationFunction,
  type ActivationId,
  asActivation,
  linear,
  softmax,
} from '../activations.ts';
import { requireSize, type Shape } from '../graph/shape.ts';
import { asInitializer, type InitializerId } from '../initializers/index.ts';
import { Layer, type LayerOptions } from './layer.ts';

const preluOp = op('aten::prelu');
const eluOp = op('aten::elu');
const leakyReluOp = op('aten::leaky_relu');

/** An activation as a layer of its own. */
export class Activation extends Layer {
  readonly #activation: ActivationFunction;

  constructor(activation: ActivationId, options: LayerOptions = {}) {
    super(options);
    this.#activation = asActivation(activation);
  }

  protected override compute(x: Tensor): Tensor {
    return this.#activation(x);
  }

  override get outputActivation(): ActivationFunction {
    return this.#activation;
  }
}

/** Passes its input on, in its compute dtype. */
export class Identity extends Activation {
  constructor(options: LayerOptions = {}) {
    super(linear, options);
  }
}

export interface ReLUOptions extends LayerOptions {
  maxValue?: number | null;
  /** Slope below the threshold; default 0. */
  negativeSlope?: number;
  threshold?: number;
}

/** x above the threshold, up to `maxValue`; negativeSlope · (x - threshold) below. */
export class ReLU extends Layer {
  readonly #maxValue: number | null;
  readonly #slope: number;
  readonly #threshold: number;

  constructor(options: ReLUOptions = {}) {
    super(options, ['maxValue', 'negativeSlope', 'threshold']);
    this.#maxValue = options.maxValue ?? null;
    this.#slope = options.negativeSlope ?? 0;
    this.#threshold = options.threshold ?? 0;
  }

  protected override compute(x: Tensor): Tensor {
    const above = this.#threshold === 0 ? x.relu() : x.mul(x.gt(this.#threshold).to(x.dtype));
    const cut = this.#maxValue === null ? above : above.clampMax(this.#maxValue);
    if (this.#slope === 0) return cut;
    return cut.sub(x.neg().add(this.#threshold).relu().mul(this.#slope));
  }
}

export class LeakyReLU extends Layer {
  readonly #slope: number;

  constructor(options: LayerOptions & { negativeSlope?: number } = {}) {
    super(options, ['negativeSlope']);
    this.#slope = options.negativeSlope ?? 0.3;
  }

  protected override compute(x: Tensor): Tensor {
    return leakyReluOp(x, this.#slope);
  }
}

export class ELU extends Layer {
  readonly #alpha: number;

  constructor(options: LayerOptions & { alpha?: number } = {}) {
    super(options, ['alpha']);
    this.#alpha = options.alpha ?? 1;
  }

  protected override compute(x: Tensor): Tensor {
    return eluOp(x, this.#alpha);
  }
}

/** A slope below zero that is learned, one for each feature (the last axis). */
export class PReLU extends Layer {
  alpha!: nn.Parameter;
  readonly #initializer: InitializerId;

  constructor(options: LayerOptions & { alphaInitializer?: InitializerId } = {}) {
    super(options, ['alphaInitializer']);
    this.#initializer = options.alphaInitializer ?? 'zeros';
    asInitializer(this.#initializer);
  }

  protected override build(inputShape: Shape): void {
    this.alpha = this.addWeight([requireSize(this.name, inputShape, -1)], { initializer: this.#initializer });
  }

  protected override compute(x: Tensor): Tensor {
    return preluOp(x.flatten(0, -2), this.value(this.alpha)).reshape(x.shape);
  }
}

export class Softmax extends Layer {
  readonly #axis: number;

  constructor(options: LayerOptions & { axis?: number } = {}) {
    super(options, ['axis']);
    this.#axis = options.axis ?? -1;
  }

  protected override compute(x: Tensor): Tensor {
    return x.softmax(this.#axis);
  }

  override get outputActivation(): ActivationFunction {
    return softmax;
  }
}
