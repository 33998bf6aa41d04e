import { TorchError } from '@mezzo/libtorch';
import { castFrozen } from '../amp/frozen-weights.ts';
import { empty } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/conv.ts';
import { pad } from './functional/resample.ts';
import { calculateFanInAndFanOut, kaimingUniform_, uniform_ } from './init.ts';
import { type FactoryOptions, Layer } from './layer.ts';
import { Parameter } from './parameter.ts';
import { tuple } from './python-repr.ts';
import { type Size1d, type Size2d, type Size3d, spatial } from './sizes.ts';

export type PaddingMode = 'zeros' | 'reflect' | 'replicate' | 'circular';

export interface ConvLayerOptions<Size> extends FactoryOptions {
  stride?: Size;
  padding?: Size | 'same' | 'valid';
  dilation?: Size;
  groups?: number;
  bias?: boolean;
  paddingMode?: PaddingMode;
}

export interface ConvTransposeLayerOptions<Size> extends FactoryOptions {
  stride?: Size;
  padding?: Size;
  outputPadding?: Size;
  groups?: number;
  bias?: boolean;
  dilation?: Size;
}

/** What all convolutions share: weight [out, in / groups, …kernel], transposed [in, out / groups, …kernel]. */
abstract class Convolution extends Layer {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly groups: number;
  weight: Parameter;
  bias: Parameter | null;

  constructor(
    dims: number,
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    transposed: boolean,
    options: FactoryOptions & {
      stride?: number | readonly number[];
      dilation?: number | readonly number[];
      groups?: number;
      bias?: boolean;
    },
  ) {
    super();
    const groups = options.groups ?? 1;
    if (groups <= 0) throw new TorchError('VALUE', 'groups must be a positive integer');
    if (inChannels % groups !== 0) throw new TorchError('VALUE', 'in_channels must be divisible by groups');
    if (outChannels % groups !== 0) throw new TorchError('VALUE', 'out_channels must be divisible by groups');
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = spatial(kernelSize, dims);
    this.stride = spatial(options.stride ?? 1, dims);
    this.dilation = spatial(options.dilation ?? 1, dims);
    this.groups = groups;
    const channels = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups];
    this.weight = new Parameter(empty([...channels, ...this.kernelSize], options));
    this.bias = (options.bias ?? true) ? new Parameter(empty([outChannels], options)) : null;
    this.resetParameters();
  }

  /** PyTorch's default: weight uniform by fan-in with slope sqrt(5), bias uniform in ±1/sqrt(fan-in). */
  resetParameters(): void {
    kaimingUniform_(this.weight, { a: Math.sqrt(5) });
    const { fanIn } = calculateFanInAndFanOut(this.weight);
    if (this.bias === null || fanIn === 0) return;
    const bound = 1 / Math.sqrt(fanIn);
    uniform_(this.bias, -bound, bound);
  }

  /** The settings as PyTorch prints them. */
  protected describe(padding: string | readonly number[], outputPadding: readonly number[] = []): string {
    const parts = [
      `${this.inChannels}, ${this.outChannels}`,
      `kernel_size=${tuple(this.kernelSize)}`,
      `stride=${tuple(this.stride)}`,
    ];
    const moves = (sizes: readonly number[], rest: number) => sizes.some((size) => size !== rest);
    if (typeof padding === 'string') parts.push(`padding=${padding}`);
    else if (moves(padding, 0)) parts.push(`padding=${tuple(padding)}`);
    if (moves(this.dilation, 1)) parts.push(`dilation=${tuple(this.dilation)}`);
    if (moves(outputPadding, 0)) parts.push(`output_padding=${tuple(outputPadding)}`);
    if (this.groups !== 1) parts.push(`groups=${this.groups}`);
    if (this.bias === null) parts.push('bias=False');
    return parts.join(', ');
  }
}

/** A convolution; `F` is its functional form. */
abstract class ForwardConvolution extends Convolution {
  readonly padding: readonly number[] | 'same' | 'valid';
  readonly paddingMode: PaddingMode;

  constructor(
    dims: number,
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: ConvLayerOptions<number | readonly number[]>,
  ) {
    super(dims, inChannels, outChannels, kernelSize, false, options);
    const { padding = 0 } = options;
    if (padding === 'same' && this.stride.some((step) => step !== 1)) {
      throw new TorchError('VALUE', "padding='same' is not supported for strided convolutions");
    }
    this.padding = typeof padding === 'string' ? padding : spatial(padding, dims);
    this.paddingMode = options.paddingMode ?? 'zeros';
  }

  protected abstract convolve(input: Tensor, options: F.ConvOptions): Tensor;

  override forward(input: Tensor): Tensor {
    const { stride, dilation, groups, padding } = this;
    if (this.paddingMode === 'zeros') return this.convolve(input, { stride, padding, dilation, groups });
    const padded = pad(input, this.paddingForPad(), { mode: this.paddingMode });
    return this.convolve(padded, { stride, dilation, groups });
  }

  override extraRepr(): string {
    const mode = this.paddingMode === 'zeros' ? '' : `, padding_mode=${this.paddingMode}`;
    return this.describe(this.padding) + mode;
  }

  /** Both sides of every dimension, the last dimension first. */
  private paddingForPad(): number[] {
    const sides = this.kernelSize.map((size, i): [number, number] => {
      if (this.padding === 'valid') return [0, 0];
      if (this.padding !== 'same') return [this.padding[i]!, this.padding[i]!];
      const total = this.dilation[i]! * (size - 1);
      return [Math.floor(total / 2), total - Math.floor(total / 2)];
    });
    return sides.reverse().flat();
  }
}

/** Input [N, C, L]. */
export class Conv1d extends ForwardConvolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size1d,
    options: ConvLayerOptions<Size1d> = {},
  ) {
    super(1, inChannels, outChannels, kernelSize, options);
  }

  protected override convolve(input: Tensor, options: F.ConvOptions): Tensor {
    return F.conv1d(input, castFrozen(this.weight), castFrozen(this.bias), options);
  }
}

/** Input [N, C, H, W]. */
export class Conv2d extends ForwardConvolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size2d,
    options: ConvLayerOptions<Size2d> = {},
  ) {
    super(2, inChannels, outChannels, kernelSize, options);
  }

  protected override convolve(input: Tensor, options: F.ConvOptions): Tensor {
    return F.conv2d(input, castFrozen(this.weight), castFrozen(this.bias), options);
  }
}

/** Input [N, C, D, H, W]. */
export class Conv3d extends ForwardConvolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size3d,
    options: ConvLayerOptions<Size3d> = {},
  ) {
    super(3, inChannels, outChannels, kernelSize, options);
  }

  protected override convolve(input: Tensor, options: F.ConvOptions): Tensor {
    return F.conv3d(input, castFrozen(this.weight), castFrozen(this.bias), options);
  }
}

/** The gradient of a convolution with respect to its input, as a layer. */
abstract class TransposedConvolution extends Convolution {
  readonly padding: readonly number[];
  readonly outputPadding: readonly number[];

  constructor(
    dims: number,
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: ConvTransposeLayerOptions<number | readonly number[]>,
  ) {
    super(dims, inChannels, outChannels, kernelSize, true, options);
    this.padding = spatial(options.padding ?? 0, dims);
    this.outputPadding = spatial(options.outputPadding ?? 0, dims);
  }

  protected options(): F.ConvTransposeOptions {
    const { stride, padding, outputPadding, groups, dilation } = this;
    return { stride, padding, outputPadding, groups, dilation };
  }

  override extraRepr(): string {
    return this.describe(this.padding, this.outputPadding);
  }
}

export class ConvTranspose1d extends TransposedConvolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size1d,
    options: ConvTransposeLayerOptions<Size1d> = {},
  ) {
    super(1, inChannels, outChannels, kernelSize, options);
  }

  override forward(input: Tensor): Tensor {
    return F.convTranspose1d(input, castFrozen(this.weight), castFrozen(this.bias), this.options());
  }
}

export class ConvTranspose2d extends TransposedConvolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size2d,
    options: ConvTransposeLayerOptions<Size2d> = {},
  ) {
    super(2, inChannels, outChannels, kernelSize, options);
  }

  override forward(input: Tensor): Tensor {
    return F.convTranspose2d(input, castFrozen(this.weight), castFrozen(this.bias), this.options());
  }
}

export class ConvTranspose3d extends TransposedConvolution {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size3d,
    options: ConvTransposeLayerOptions<Size3d> = {},
  ) {
    super(3, inChannels, outChannels, kernelSize, options);
  }

  override forward(input: Tensor): Tensor {
    return F.convTranspose3d(input, castFrozen(this.weight), castFrozen(this.bias), this.options());
  }
}
