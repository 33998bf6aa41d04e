import type { nn, Tensor } from '@mezzo/torch';
import { type Activation, type ActivationId, asActivation } from '../activations.ts';
import { requireSize, type Shape, shapeMismatch } from '../graph/shape.ts';
import type { InitializerId } from '../initializers/index.ts';
import type { RegularizerId } from '../regularizers.ts';
import { Layer, type LayerOptions } from './layer.ts';

/** Options of layers with a kernel and a bias. */
export interface KernelOptions extends LayerOptions {
  activation?: ActivationId;
  useBias?: boolean;
  /** Default 'glorot_uniform'. */
  kernelInitializer?: InitializerId;
  /** Default 'zeros'. */
  biasInitializer?: InitializerId;
  kernelRegularizer?: RegularizerId | null;
  biasRegularizer?: RegularizerId | null;
}

export const KERNEL_OPTIONS = [
  'activation',
  'useBias',
  'kernelInitializer',
  'biasInitializer',
  'kernelRegularizer',
  'biasRegularizer',
] as const;

/** activation(x · kernel + bias) over the last axis; kernel [in, units]. */
export class Dense extends Layer {
  readonly units: number;
  kernel!: nn.Parameter;
  bias: nn.Parameter | null = null;
  readonly #activation: Activation;
  readonly #options: KernelOptions;

  constructor(units: number, options: KernelOptions = {}) {
    super(options, KERNEL_OPTIONS);
    this.units = units;
    this.#activation = asActivation(options.activation);
    this.#options = options;
  }

  protected override build(inputShape: Shape): void {
    const inputs = requireSize(this.name, inputShape, -1);
    const {
      kernelInitializer,
      kernelRegularizer,
      biasInitializer = 'zeros',
      biasRegularizer,
    } = this.#options;
    this.kernel = this.addWeight([inputs, this.units], {
      initializer: kernelInitializer,
      regularizer: kernelRegularizer,
    });
    if (this.#options.useBias === false) return;
    this.bias = this.addWeight([this.units], { initializer: biasInitializer, regularizer: biasRegularizer });
  }

  override computeOutputShape(inputShape: Shape): Shape {
    if (inputShape.length < 2)
      throw shapeMismatch(this.name, 'at least 2 dimensions (batch, …, features)', inputShape);
    const wanted = this.built ? this.kernel.size(0) : null;
    const given = inputShape.at(-1)!;
    if (wanted !== null && given !== null && wanted !== given) {
      throw shapeMismatch(this.name, `${wanted} features at the last axis`, inputShape);
    }
    return [...inputShape.slice(0, -1), this.units];
  }

  protected override compute(x: Tensor): Tensor {
    // Product and sum round one after the other, as in Keras, which matters in low precision.
    const product = x.matmul(this.value(this.kernel));
    return this.#activation(this.bias === null ? product : product.add(this.value(this.bias)));
  }

  override get outputActivation(): Activation {
    return this.#activation;
  }
}
