import { nn, type Tensor } from '@mezzo/torch';
import { type Activation, asActivation } from '../activations.ts';
import { requireRank, requireSize, type Shape, shapeMismatch } from '../graph/shape.ts';
import { AXES } from './conv.ts';
import { KERNEL_OPTIONS, type KernelOptions } from './dense.ts';
import { Layer } from './layer.ts';
import {
  channelsFirst,
  channelsLast,
  type Padding,
  padSpatial,
  requirePadding,
  type Sizes,
  sizesOf,
} from './window.ts';

export interface Conv2DTransposeOptions extends KernelOptions {
  strides?: Sizes;
  padding?: Padding;
}

/** The transpose of a convolution, kernel [rows, columns, filters, in]: 'same' gives size · stride outputs. */
export class Conv2DTranspose extends Layer {
  readonly filters: number;
  kernel!: nn.Parameter;
  bias: nn.Parameter | null = null;
  readonly #size: readonly number[];
  readonly #strides: readonly number[];
  readonly #padding: Padding;
  readonly #activation: Activation;
  readonly #options: Conv2DTransposeOptions;

  constructor(filters: number, kernelSize: Sizes, options: Conv2DTransposeOptions = {}) {
    super(options, [...KERNEL_OPTIONS, 'strides', 'padding']);
    const { strides = 1, padding = 'valid' } = options;
    requirePadding(this.name, padding);
    this.filters = filters;
    this.#size = sizesOf(this.name, 'kernelSize', kernelSize, 2);
    this.#strides = sizesOf(this.name, 'strides', strides, 2);
    this.#padding = padding;
    this.#activation = asActivation(options.activation);
    this.#options = options;
  }

  protected override build(inputShape: Shape): void {
    const {
      kernelInitializer,
      kernelRegularizer,
      biasInitializer = 'zeros',
      biasRegularizer,
    } = this.#options;
    this.kernel = this.addWeight([...this.#size, this.filters, requireSize(this.name, inputShape, -1)], {
      initializer: kernelInitializer,
      regularizer: kernelRegularizer,
    });
    if (this.#options.useBias === false) return;
    this.bias = this.addWeight([this.filters], {
      initializer: biasInitializer,
      regularizer: biasRegularizer,
    });
  }

  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, 4, AXES[2]);
    const wanted = this.built ? this.kernel.size(3) : null;
    const channels = inputShape.at(-1)!;
    if (wanted !== null && channels !== null && wanted !== channels) {
      throw shapeMismatch(this.name, `${wanted} channels at the last axis`, inputShape);
    }
    const sizes = inputShape
      .slice(1, -1)
      .map((length, i) => (length === null ? null : this.outputLength(length, i)));
    return [inputShape[0]!, ...sizes, this.filters];
  }

  private outputLength(length: number, i: number): number {
    const [size, stride] = [this.#size[i]!, this.#strides[i]!];
    return this.#padding === 'same' ? length * stride : length * stride + Math.max(size - stride, 0);
  }

  protected override compute(x: Tensor): Tensor {
    const weight = this.value(this.kernel).permute(3, 2, 0, 1);
    const full = nn.functional.convTranspose2d(channelsFirst(x), weight, null, { stride: this.#strides });
    // Keras's output is a window of the full one; where it is larger, zeros follow.
    const cut = [0, 1].map((i): [number, number] => {
      const whole = full.size(2 + i);
      const wanted = this.outputLength(x.size(1 + i), i);
      const spare = this.#padding === 'same' ? Math.max(0, this.#size[i]! - this.#strides[i]!) : 0;
      const before = Math.floor(spare / 2);
      return [-before, wanted - whole + before];
    });
    const y = channelsLast(cut.every(([a, b]) => a === 0 && b === 0) ? full : padSpatial(full, cut));
    return this.#activation(this.bias === null ? y : y.add(this.value(this.bias)));
  }

  override get outputActivation(): Activation {
    return this.#activation;
  }
}
