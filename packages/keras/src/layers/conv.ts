import { nn, type Tensor } from '@mezzo/torch';
import { type Activation, asActivation } from '../activations.ts';
import { KerasError } from '../errors.ts';
import { requireRank, requireSize, type Shape, shapeMismatch } from '../graph/shape.ts';
import { KERNEL_OPTIONS, type KernelOptions } from './dense.ts';
import { Layer } from './layer.ts';
import {
  applySame,
  channelsFirst,
  channelsLast,
  type Padding,
  padSpatial,
  requirePadding,
  type Sizes,
  sizesOf,
  slidOver,
  type Window,
} from './window.ts';

export interface ConvOptions extends KernelOptions {
  /** Default 1. */
  strides?: Sizes;
  /** Default 'valid'; 'causal' looks back only (Conv1D). */
  padding?: Padding | 'causal';
  dilationRate?: Sizes;
  groups?: number;
}

export const CONV_OPTIONS = [...KERNEL_OPTIONS, 'strides', 'padding', 'dilationRate', 'groups'] as const;

export const AXES = ['', '(batch, steps, channels)', '(batch, rows, columns, channels)'] as const;
const CONVOLVE = [undefined, nn.functional.conv1d, nn.functional.conv2d] as const;

/**
 * A convolution over `rank` spatial dimensions, channels last: x [N, …, in], kernel [window, in / groups, filters].
 * The kernel lies in memory as LibTorch's channels_last kernels want it, so nothing is copied on the way.
 */
export abstract class Conv extends Layer {
  readonly filters: number;
  kernel!: nn.Parameter;
  bias: nn.Parameter | null = null;
  protected readonly window: Window;
  protected readonly activation: Activation;
  readonly #rank: 1 | 2;
  readonly #causal: boolean;
  readonly #groups: number;
  readonly #options: ConvOptions;

  constructor(rank: 1 | 2, filters: number, kernelSize: Sizes, options: ConvOptions) {
    super(options, CONV_OPTIONS);
    const { strides = 1, padding = 'valid', dilationRate = 1, groups = 1 } = options;
    requirePadding(this.name, padding, rank === 1 ? ['valid', 'same', 'causal'] : undefined);
    this.filters = filters;
    this.window = {
      size: sizesOf(this.name, 'kernelSize', kernelSize, rank),
      strides: sizesOf(this.name, 'strides', strides, rank),
      dilation: sizesOf(this.name, 'dilationRate', dilationRate, rank),
      padding: padding === 'causal' ? 'valid' : padding,
    };
    this.activation = asActivation(options.activation);
    this.#rank = rank;
    this.#causal = padding === 'causal';
    this.#groups = groups;
    this.#options = options;
    if (filters % groups !== 0) {
      throw new KerasError(
        'BAD_OPTION',
        `layer '${this.name}': ${filters} filters cannot be divided among ${groups} groups`,
      );
    }
  }

  protected override build(inputShape: Shape): void {
    const channels = requireSize(this.name, inputShape, -1);
    if (channels % this.#groups !== 0) {
      throw shapeMismatch(this.name, `channels (the last axis) in ${this.#groups} equal groups`, inputShape);
    }
    const {
      kernelInitializer,
      kernelRegularizer,
      biasInitializer = 'zeros',
      biasRegularizer,
    } = this.#options;
    this.kernel = this.addWeight([...this.window.size, channels / this.#groups, this.filters], {
      initializer: kernelInitializer,
      regularizer: kernelRegularizer,
      outputsFirst: true,
    });
    if (this.#options.useBias === false) return;
    this.bias = this.addWeight([this.filters], {
      initializer: biasInitializer,
      regularizer: biasRegularizer,
    });
  }

  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, this.#rank + 2, AXES[this.#rank]);
    const channels = inputShape.at(-1)!;
    const wanted = this.built ? this.kernel.shape.at(-2)! * this.#groups : null;
    if (wanted !== null && channels !== null && wanted !== channels) {
      throw shapeMismatch(this.name, `${wanted} channels at the last axis`, inputShape);
    }
    const spatial = inputShape.slice(1, -1);
    const same: Window = this.#causal ? { ...this.window, padding: 'same' } : this.window;
    const sizes = slidOver(spatial, same);
    if (sizes.some((size) => size !== null && size < 1)) {
      throw shapeMismatch(
        this.name,
        `at least the kernel's size [${this.window.size.join(', ')}]`,
        inputShape,
      );
    }
    return [inputShape[0]!, ...sizes, this.filters];
  }

  protected override compute(input: Tensor): Tensor {
    const { window } = this;
    const first = channelsFirst(input);
    const back = (window.size[0]! - 1) * window.dilation[0]!;
    const [x, padding] = this.#causal ? [padSpatial(first, [[back, 0]]), [0]] : applySame(first, window);
    const weight = outputsFirst(this.value(this.kernel));
    const y = channelsLast(
      CONVOLVE[this.#rank]!(x, weight, null, {
        stride: window.strides,
        padding,
        dilation: window.dilation,
        groups: this.#groups,
      }),
    );
    return this.activation(this.bias === null ? y : y.add(this.value(this.bias)));
  }

  override get outputActivation(): Activation {
    return this.activation;
  }
}

/** Kernel [window, in, out] seen as [out, in, window]. */
export const outputsFirst = (kernel: Tensor): Tensor =>
  kernel.ndim === 3 ? kernel.permute(2, 1, 0) : kernel.permute(3, 2, 0, 1);

/** x [batch, steps, channels] */
export class Conv1D extends Conv {
  constructor(filters: number, kernelSize: Sizes, options: ConvOptions = {}) {
    super(1, filters, kernelSize, options);
  }
}

/** x [batch, rows, columns, channels] */
export class Conv2D extends Conv {
  constructor(filters: number, kernelSize: Sizes, options: ConvOptions = {}) {
    super(2, filters, kernelSize, options);
  }
}
