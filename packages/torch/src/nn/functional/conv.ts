import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';

export interface ConvOptions {
  stride?: number | readonly number[];
  /** Zeros added on each side; 'same' keeps the size (stride 1 only), 'valid' adds none. */
  padding?: number | readonly number[] | 'same' | 'valid';
  dilation?: number | readonly number[];
  groups?: number;
}

export interface ConvTransposeOptions {
  stride?: number | readonly number[];
  padding?: number | readonly number[];
  outputPadding?: number | readonly number[];
  groups?: number;
  dilation?: number | readonly number[];
}

const linearOp = op('aten::linear');
const bilinearOp = op('aten::bilinear');
const embeddingOp = op('aten::embedding');

// Autocast decides by the name that is called, so these are the outermost ops, never their inner forms.
const convolution = (name: string) => {
  const call = op(name);
  return (input: Tensor, weight: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor => {
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
    return call(input, weight, bias, stride, padding, dilation, groups);
  };
};

const transposedConvolution = (name: string) => {
  const call = op(name);
  return (
    input: Tensor,
    weight: Tensor,
    bias: Tensor | null = null,
    options: ConvTransposeOptions = {},
  ): Tensor => {
    const { stride = 1, padding = 0, outputPadding = 0, groups = 1, dilation = 1 } = options;
    return call(input, weight, bias, stride, padding, outputPadding, groups, dilation);
  };
};

/** input [N, C, L], weight [out, C / groups, k] */
export const conv1d = convolution('aten::conv1d');
/** input [N, C, H, W], weight [out, C / groups, kH, kW] */
export const conv2d = convolution('aten::conv2d');
/** input [N, C, D, H, W], weight [out, C / groups, kD, kH, kW] */
export const conv3d = convolution('aten::conv3d');
/** input [N, C, L], weight [C, out / groups, k] */
export const convTranspose1d = transposedConvolution('aten::conv_transpose1d');
/** input [N, C, H, W], weight [C, out / groups, kH, kW] */
export const convTranspose2d = transposedConvolution('aten::conv_transpose2d');
export const convTranspose3d = transposedConvolution('aten::conv_transpose3d');

/** input @ weight.T + bias; weight [out, in] */
export const linear = (input: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor =>
  linearOp(input, weight, bias);

export const bilinear = (a: Tensor, b: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor =>
  bilinearOp(a, b, weight, bias);

/** Rows of `weight` [entries, size] by integer index; the row `paddingIdx` gets no gradient. */
export const embedding = (indices: Tensor, weight: Tensor, paddingIdx: number | null = null): Tensor =>
  embeddingOp(weight, indices, paddingIdx ?? -1);
