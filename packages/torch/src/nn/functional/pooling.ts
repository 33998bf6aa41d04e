import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';

export interface MaxPoolOptions {
  /** Default: the kernel size. */
  stride?: number | readonly number[];
  padding?: number | readonly number[];
  dilation?: number | readonly number[];
  /** Round the output size up instead of down. */
  ceilMode?: boolean;
}

export interface AvgPoolOptions {
  stride?: number | readonly number[];
  padding?: number | readonly number[];
  ceilMode?: boolean;
  /** Count the padding zeros in the mean. */
  countIncludePad?: boolean;
}

type Size = number | readonly number[];

const maxPooling = (name: string) => {
  const call = op(name);
  return (input: Tensor, kernelSize: Size, options: MaxPoolOptions = {}): Tensor => {
    const { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } = options;
    return call(input, kernelSize, stride, padding, dilation, ceilMode);
  };
};

const avgPooling = (name: string) => {
  const call = op(name);
  return (input: Tensor, kernelSize: Size, options: AvgPoolOptions = {}): Tensor => {
    const { stride = kernelSize, padding = 0, ceilMode = false, countIncludePad = true } = options;
    return call(input, kernelSize, stride, padding, ceilMode, countIncludePad);
  };
};

const adaptivePooling = (name: string) => {
  const call = op(name);
  return (input: Tensor, outputSize: Size): Tensor => call(input, outputSize);
};

const adaptiveMaxPooling = (name: string) => {
  const call = op<(input: Tensor, size: Size) => [Tensor, Tensor]>(name);
  return (input: Tensor, outputSize: Size): Tensor => call(input, outputSize)[0];
};

export const maxPool1d = maxPooling('aten::max_pool1d');
export const maxPool2d = maxPooling('aten::max_pool2d');
export const maxPool3d = maxPooling('aten::max_pool3d');
export const avgPool1d = avgPooling('aten::avg_pool1d');
export const avgPool2d = avgPooling('aten::avg_pool2d');
export const avgPool3d = avgPooling('aten::avg_pool3d');
export const adaptiveAvgPool1d = adaptivePooling('aten::adaptive_avg_pool1d');
export const adaptiveAvgPool2d = adaptivePooling('aten::adaptive_avg_pool2d');
export const adaptiveAvgPool3d = adaptivePooling('aten::adaptive_avg_pool3d');
export const adaptiveMaxPool1d = adaptiveMaxPooling('aten::adaptive_max_pool1d');
export const adaptiveMaxPool2d = adaptiveMaxPooling('aten::adaptive_max_pool2d');
export const adaptiveMaxPool3d = adaptiveMaxPooling('aten::adaptive_max_pool3d');

const indicesOfMaxPooling = (name: string) => {
  const call = op<(...args: unknown[]) => [Tensor, Tensor]>(name);
  return (
    input: Tensor,
    kernelSize: Size,
    options: MaxPoolOptions = {},
  ): [values: Tensor, indices: Tensor] => {
    const { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } = options;
    return call(input, kernelSize, stride, padding, dilation, ceilMode);
  };
};

/** [values, flat indices into each input plane] */
export const maxPool1dWithIndices = indicesOfMaxPooling('aten::max_pool1d_with_indices');
/** [values, flat indices into each input plane] */
export const maxPool2dWithIndices = indicesOfMaxPooling('aten::max_pool2d_with_indices');
/** [values, flat indices into each input plane] */
export const maxPool3dWithIndices = indicesOfMaxPooling('aten::max_pool3d_with_indices');
