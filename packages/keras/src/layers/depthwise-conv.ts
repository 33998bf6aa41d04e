import { nn, type Tensor } from '@mezzo/torch';
import { type Activation, asActivation } from '../activations.ts';
import { requireRank, requireSize, type Shape, shapeMismatch } from '../graph/shape.ts';
import type { InitializerId } from '../initializers/index.ts';
import type { RegularizerId } from '../regularizers.ts';
import { AXES, outputsFirst } from './conv.ts';
import { KERNEL_OPTIONS, type KernelOptions } from './dense.ts';
import { Layer } from './layer.ts';
import {
  applySame,
  channelsFirst,
  channelsLast,
  type Padding,
  requirePadding,
  type Sizes,
  sizesOf,
  slidOver,
  type Window,
} from './window.ts';

export interface DepthwiseOptions extends Omit<KernelOptions, 'kernelInitializer' | 'kernelRegularizer'> {
  strides?: Sizes;
  padding?: Padding;
  dilationRate?: Sizes;
  /** Outputs of each channel; default 1. */
  depthMultiplier?: number;
  depthwiseInitializer?: InitializerId;
  depthwiseRegularizer?: RegularizerId | null;
}

export interface SeparableOptions extends DepthwiseOptions {
  pointwiseInitializer?: InitializerId;
  pointwiseRegularizer?: RegularizerId | null;
}

const OPTIONS = [
  ...KERNEL_OPTIONS.filter((name) => !name.startsWith('kernel')),
  'strides',
  'padding',
  'dilationRate',
  'depthMultiplier',
  'depthwiseInitializer',
  'depthwiseRegularizer',
] as const;

/** What both have: a window that sees one channel at a time, kernel [rows, columns, channels, multiplier]. */
abstract class Depthwise extends Layer {
  protected readonly window: Window;
  protected readonly multiplier: number;
  protected readonly activation: Activation;
  protected readonly options: DepthwiseOptions;

  constructor(kernelSize: Sizes, options: DepthwiseOptions, known: readonly string[]) {
    super(options, known);
    const { strides = 1, padding = 'valid', dilationRate = 1, depthMultiplier = 1 } = options;
    requirePadding(this.name, padding);
    this.window = {
      size: sizesOf(this.name, 'kernelSize', kernelSize, 2),
      strides: sizesOf(this.name, 'strides', strides, 2),
      dilation: sizesOf(this.name, 'dilationRate', dilationRate, 2),
      padding,
    };
    this.multiplier = depthMultiplier;
    this.activation = asActivation(options.activation);
    this.options = options;
  }

  protected depthwiseWeight(inputShape: Shape): nn.Parameter {
    const channels = requireSize(this.name, inputShape, -1);
    return this.addWeight([...this.window.size, channels, this.multiplier], {
      initializer: this.options.depthwiseInitializer,
      regularizer: this.options.depthwiseRegularizer,
    });
  }

  protected biasOf(outputs: number): nn.Parameter | null {
    const { useBias = true, biasInitializer = 'zeros', biasRegularizer } = this.options;
    return useBias
      ? this.addWeight([outputs], { initializer: biasInitializer, regularizer: biasRegularizer })
      : null;
  }

  /** x [N, H, W, C] → [N, C · multiplier, H', W'] */
  protected eachChannel(x: Tensor, kernel: Tensor): Tensor {
    const channels = kernel.size(2);
    const weight = outputsFirst(
      this.value(kernel).reshape(...this.window.size, 1, channels * this.multiplier),
    );
    const [padded, padding] = applySame(channelsFirst(x), this.window);
    const { strides: stride, dilation } = this.window;
    return nn.functional.conv2d(padded, weight, null, { stride, padding, dilation, groups: channels });
  }

  protected spatialShape(inputShape: Shape, channels: number | null): Shape {
    requireRank(this.name, inputShape, 4, AXES[2]);
    const given = inputShape.at(-1)!;
    if (channels !== null && given !== null && given !== channels) {
      throw shapeMismatch(this.name, `${channels} channels at the last axis`, inputShape);
    }
    return slidOver(inputShape.slice(1, -1), this.window);
  }

  protected finish(y: Tensor, bias: nn.Parameter | null): Tensor {
    return this.activation(bias === null ? y : y.add(this.value(bias)));
  }

  override get outputActivation(): Activation {
    return this.activation;
  }
}

/** Each channel by a window of its own. */
export class DepthwiseConv2D extends Depthwise {
  kernel!: nn.Parameter;
  bias: nn.Parameter | null = null;

  constructor(kernelSize: Sizes, options: DepthwiseOptions = {}) {
    super(kernelSize, options, OPTIONS);
  }

  protected override build(inputShape: Shape): void {
    this.kernel = this.depthwiseWeight(inputShape);
    this.bias = this.biasOf(this.kernel.size(2) * this.multiplier);
  }

  override computeOutputShape(inputShape: Shape): Shape {
    const spatial = this.spatialShape(inputShape, this.built ? this.kernel.size(2) : null);
    const channels = inputShape.at(-1)!;
    return [inputShape[0]!, ...spatial, channels === null ? null : channels * this.multiplier];
  }

  protected override compute(x: Tensor): Tensor {
    return this.finish(channelsLast(this.eachChannel(x, this.kernel)), this.bias);
  }
}

/** A depthwise convolution, then one of 1 × 1 over all channels. */
export class SeparableConv2D extends Depthwise {
  static override readonly stateNames = {
    depthwiseKernel: 'depthwise_kernel',
    pointwiseKernel: 'pointwise_kernel',
  };

  readonly filters: number;
  depthwiseKernel!: nn.Parameter;
  pointwiseKernel!: nn.Parameter;
  bias: nn.Parameter | null = null;
  readonly #own: SeparableOptions;

  constructor(filters: number, kernelSize: Sizes, options: SeparableOptions = {}) {
    super(kernelSize, options, [...OPTIONS, 'pointwiseInitializer', 'pointwiseRegularizer']);
    this.filters = filters;
    this.#own = options;
  }

  protected override build(inputShape: Shape): void {
    this.depthwiseKernel = this.depthwiseWeight(inputShape);
    this.pointwiseKernel = this.addWeight(
      [1, 1, this.depthwiseKernel.size(2) * this.multiplier, this.filters],
      {
        initializer: this.#own.pointwiseInitializer,
        regularizer: this.#own.pointwiseRegularizer,
      },
    );
    this.bias = this.biasOf(this.filters);
  }

  override computeOutputShape(inputShape: Shape): Shape {
    const spatial = this.spatialShape(inputShape, this.built ? this.depthwiseKernel.size(2) : null);
    return [inputShape[0]!, ...spatial, this.filters];
  }

  protected override compute(x: Tensor): Tensor {
    const weight = outputsFirst(this.value(this.pointwiseKernel));
    const y = nn.functional.conv2d(this.eachChannel(x, this.depthwiseKernel), weight);
    return this.finish(channelsLast(y), this.bias);
  }
}
