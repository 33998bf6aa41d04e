import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/resample.ts';
import { Layer } from './layer.ts';
import { sizeRepr } from './python-repr.ts';
import type { Size2d } from './sizes.ts';

/** Resizes the spatial dimensions, to a size or by a factor. */
export class Upsample extends Layer {
  readonly options: F.InterpolateOptions;

  constructor(options: F.InterpolateOptions) {
    super();
    this.options = options;
  }

  override forward(input: Tensor): Tensor {
    return F.interpolate(input, this.options);
  }

  override extraRepr(): string {
    const { size, scaleFactor, mode = 'nearest' } = this.options;
    const [name, value] = scaleFactor === undefined ? ['size', size] : ['scale_factor', scaleFactor];
    const python = (n: number) => (name === 'scale_factor' ? n.toFixed(1) : String(n));
    const shown = typeof value === 'number' ? python(value) : `(${value?.map(python).join(', ')})`;
    return `${name}=${shown}, mode='${mode}'`;
  }
}

/** [N, C·r², H, W] → [N, C, H·r, W·r] */
export class PixelShuffle extends Layer {
  readonly upscaleFactor: number;

  constructor(upscaleFactor: number) {
    super();
    this.upscaleFactor = upscaleFactor;
  }

  override forward(input: Tensor): Tensor {
    return F.pixelShuffle(input, this.upscaleFactor);
  }

  override extraRepr(): string {
    return `upscale_factor=${this.upscaleFactor}`;
  }
}

/** [N, C, H·r, W·r] → [N, C·r², H, W] */
export class PixelUnshuffle extends Layer {
  readonly downscaleFactor: number;

  constructor(downscaleFactor: number) {
    super();
    this.downscaleFactor = downscaleFactor;
  }

  override forward(input: Tensor): Tensor {
    return F.pixelUnshuffle(input, this.downscaleFactor);
  }

  override extraRepr(): string {
    return `downscale_factor=${this.downscaleFactor}`;
  }
}

/** Mixes the channels of groups. Input [N, C, …]. */
export class ChannelShuffle extends Layer {
  readonly groups: number;

  constructor(groups: number) {
    super();
    this.groups = groups;
  }

  override forward(input: Tensor): Tensor {
    return F.channelShuffle(input, this.groups);
  }

  override extraRepr(): string {
    return `groups=${this.groups}`;
  }
}

/** Sliding blocks as columns: [N, C, H, W] → [N, C·kH·kW, blocks]. */
export class Unfold extends Layer {
  readonly kernelSize: Size2d;
  readonly options: Required<F.UnfoldOptions>;

  constructor(kernelSize: Size2d, options: F.UnfoldOptions = {}) {
    super();
    const { dilation = 1, padding = 0, stride = 1 } = options;
    this.kernelSize = kernelSize;
    this.options = { dilation, padding, stride };
  }

  override forward(input: Tensor): Tensor {
    return F.unfold(input, this.kernelSize, this.options);
  }

  override extraRepr(): string {
    return `kernel_size=${sizeRepr(this.kernelSize)}, ${blocksRepr(this.options)}`;
  }
}

/** Sums sliding blocks back into an image: [N, C·kH·kW, blocks] → [N, C, H, W]. */
export class Fold extends Layer {
  readonly outputSize: Size2d;
  readonly kernelSize: Size2d;
  readonly options: Required<F.UnfoldOptions>;

  constructor(outputSize: Size2d, kernelSize: Size2d, options: F.UnfoldOptions = {}) {
    super();
    const { dilation = 1, padding = 0, stride = 1 } = options;
    this.outputSize = outputSize;
    this.kernelSize = kernelSize;
    this.options = { dilation, padding, stride };
  }

  override forward(input: Tensor): Tensor {
    return F.fold(input, this.outputSize, this.kernelSize, this.options);
  }

  override extraRepr(): string {
    const output = `output_size=${sizeRepr(this.outputSize)}`;
    return `${output}, kernel_size=${sizeRepr(this.kernelSize)}, ${blocksRepr(this.options)}`;
  }
}

const blocksRepr = ({ dilation, padding, stride }: Required<F.UnfoldOptions>) =>
  `dilation=${sizeRepr(dilation)}, padding=${sizeRepr(padding)}, stride=${sizeRepr(stride)}`;
