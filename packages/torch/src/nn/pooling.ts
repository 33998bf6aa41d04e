import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/pooling.ts';
import { Layer } from './layer.ts';
import { pythonBool, sizeRepr } from './python-repr.ts';
import { type Size1d, type Size2d, type Size3d, spatial } from './sizes.ts';

type Size = number | readonly number[];

abstract class MaxPool<S extends Size> extends Layer {
  readonly kernelSize: S;
  readonly options: Required<F.MaxPoolOptions>;

  constructor(kernelSize: S, options: F.MaxPoolOptions = {}) {
    super();
    const { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } = options;
    this.kernelSize = kernelSize;
    this.options = { stride, padding, dilation, ceilMode };
  }

  override extraRepr(): string {
    const { stride, padding, dilation, ceilMode } = this.options;
    return (
      `kernel_size=${sizeRepr(this.kernelSize)}, stride=${sizeRepr(stride)}, padding=${sizeRepr(padding)}, ` +
      `dilation=${sizeRepr(dilation)}, ceil_mode=${pythonBool(ceilMode)}`
    );
  }
}

abstract class AvgPool<S extends Size> extends Layer {
  readonly kernelSize: S;
  readonly options: Required<F.AvgPoolOptions>;

  constructor(kernelSize: S, options: F.AvgPoolOptions = {}) {
    super();
    const { stride = kernelSize, padding = 0, ceilMode = false, countIncludePad = true } = options;
    this.kernelSize = kernelSize;
    this.options = { stride, padding, ceilMode, countIncludePad };
  }

  override extraRepr(): string {
    const { stride, padding } = this.options;
    return `kernel_size=${sizeRepr(this.kernelSize)}, stride=${sizeRepr(stride)}, padding=${sizeRepr(padding)}`;
  }
}

abstract class AdaptivePool<S extends Size> extends Layer {
  readonly outputSize: S;

  constructor(outputSize: S) {
    super();
    this.outputSize = outputSize;
  }

  override extraRepr(): string {
    return `output_size=${sizeRepr(this.outputSize)}`;
  }
}

/** The largest value of each window. Input [N, C, L]. */
export class MaxPool1d extends MaxPool<Size1d> {
  override forward(input: Tensor): Tensor {
    return F.maxPool1d(input, this.kernelSize, this.options);
  }
}

/** The largest value of each window. Input [N, C, H, W]. */
export class MaxPool2d extends MaxPool<Size2d> {
  override forward(input: Tensor): Tensor {
    return F.maxPool2d(input, this.kernelSize, this.options);
  }
}

/** The largest value of each window. Input [N, C, D, H, W]. */
export class MaxPool3d extends MaxPool<Size3d> {
  override forward(input: Tensor): Tensor {
    return F.maxPool3d(input, this.kernelSize, this.options);
  }
}

/** The mean of each window. Input [N, C, L]. */
export class AvgPool1d extends AvgPool<Size1d> {
  constructor(kernelSize: Size1d, options: F.AvgPoolOptions = {}) {
    const { stride = kernelSize, padding = 0 } = options;
    // Tuples, as PyTorch keeps and prints them here.
    super(spatial(kernelSize, 1) as [number], {
      ...options,
      stride: spatial(stride, 1),
      padding: spatial(padding, 1),
    });
  }

  override forward(input: Tensor): Tensor {
    return F.avgPool1d(input, this.kernelSize, this.options);
  }
}

/** The mean of each window. Input [N, C, H, W]. */
export class AvgPool2d extends AvgPool<Size2d> {
  override forward(input: Tensor): Tensor {
    return F.avgPool2d(input, this.kernelSize, this.options);
  }
}

/** The mean of each window. Input [N, C, D, H, W]. */
export class AvgPool3d extends AvgPool<Size3d> {
  override forward(input: Tensor): Tensor {
    return F.avgPool3d(input, this.kernelSize, this.options);
  }
}

/** Mean over windows chosen so that the output has the given size. Input [N, C, L]. */
export class AdaptiveAvgPool1d extends AdaptivePool<Size1d> {
  override forward(input: Tensor): Tensor {
    return F.adaptiveAvgPool1d(input, this.outputSize);
  }
}

/** Mean over windows chosen so that the output has the given size. Input [N, C, H, W]. */
export class AdaptiveAvgPool2d extends AdaptivePool<Size2d> {
  override forward(input: Tensor): Tensor {
    return F.adaptiveAvgPool2d(input, this.outputSize);
  }
}

/** Mean over windows chosen so that the output has the given size. Input [N, C, D, H, W]. */
export class AdaptiveAvgPool3d extends AdaptivePool<Size3d> {
  override forward(input: Tensor): Tensor {
    return F.adaptiveAvgPool3d(input, this.outputSize);
  }
}

/** The largest value over windows chosen so that the output has the given size. Input [N, C, L]. */
export class AdaptiveMaxPool1d extends AdaptivePool<Size1d> {
  override forward(input: Tensor): Tensor {
    return F.adaptiveMaxPool1d(input, this.outputSize);
  }
}

/** The largest value over windows chosen so that the output has the given size. Input [N, C, H, W]. */
export class AdaptiveMaxPool2d extends AdaptivePool<Size2d> {
  override forward(input: Tensor): Tensor {
    return F.adaptiveMaxPool2d(input, this.outputSize);
  }
}

/** The largest value over windows chosen so that the output has the given size. Input [N, C, D, H, W]. */
export class AdaptiveMaxPool3d extends AdaptivePool<Size3d> {
  override forward(input: Tensor): Tensor {
    return F.adaptiveMaxPool3d(input, this.outputSize);
  }
}
