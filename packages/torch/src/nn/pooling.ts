import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/pooling.ts';
import { Layer } from './layer.ts';
import type { Size2d } from './sizes.ts';

const show = (size: number | readonly number[]) =>
  typeof size === 'number' ? `${size}` : `(${size.join(', ')})`;
const pythonBool = (value: boolean) => (value ? 'True' : 'False');

/** The largest value of each window. Input [N, C, H, W]. */
export class MaxPool2d extends Layer {
  readonly kernelSize: Size2d;
  readonly options: Required<F.MaxPoolOptions>;

  constructor(kernelSize: Size2d, options: F.MaxPoolOptions = {}) {
    super();
    const { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } = options;
    this.kernelSize = kernelSize;
    this.options = { stride, padding, dilation, ceilMode };
  }

  override forward(input: Tensor): Tensor {
    return F.maxPool2d(input, this.kernelSize, this.options);
  }

  override extraRepr(): string {
    const { stride, padding, dilation, ceilMode } = this.options;
    return (
      `kernel_size=${show(this.kernelSize)}, stride=${show(stride)}, padding=${show(padding)}, ` +
      `dilation=${show(dilation)}, ceil_mode=${pythonBool(ceilMode)}`
    );
  }
}

/** The mean of each window. Input [N, C, H, W]. */
export class AvgPool2d extends Layer {
  readonly kernelSize: Size2d;
  readonly options: Required<F.AvgPoolOptions>;

  constructor(kernelSize: Size2d, options: F.AvgPoolOptions = {}) {
    super();
    const { stride = kernelSize, padding = 0, ceilMode = false, countIncludePad = true } = options;
    this.kernelSize = kernelSize;
    this.options = { stride, padding, ceilMode, countIncludePad };
  }

  override forward(input: Tensor): Tensor {
    return F.avgPool2d(input, this.kernelSize, this.options);
  }

  override extraRepr(): string {
    const { stride, padding } = this.options;
    return `kernel_size=${show(this.kernelSize)}, stride=${show(stride)}, padding=${show(padding)}`;
  }
}

/** Mean over windows chosen so that the output has the given size. Input [N, C, H, W]. */
export class AdaptiveAvgPool2d extends Layer {
  readonly outputSize: Size2d;

  constructor(outputSize: Size2d) {
    super();
    this.outputSize = outputSize;
  }

  override forward(input: Tensor): Tensor {
    return F.adaptiveAvgPool2d(input, this.outputSize);
  }

  override extraRepr(): string {
    return `output_size=${show(this.outputSize)}`;
  }
}

export class AdaptiveMaxPool2d extends Layer {
  readonly outputSize: Size2d;

  constructor(outputSize: Size2d) {
    super();
    this.outputSize = outputSize;
  }

  override forward(input: Tensor): Tensor {
    return F.adaptiveMaxPool2d(input, this.outputSize);
  }

  override extraRepr(): string {
    return `output_size=${show(this.outputSize)}`;
  }
}
