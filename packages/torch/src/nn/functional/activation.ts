import { op } from '../../ops/call.ts';
import type { DType } from '../../tensor/dtype.ts';
import type { Tensor } from '../../tensor/tensor.ts';

export interface InplaceOption {
  /** Overwrite the input. */
  inplace?: boolean;
}

const activation = (name: string) => {
  const fresh = op(`aten::${name}`);
  const inplace = op(`aten::${name}_`);
  return (input: Tensor, options?: InplaceOption): Tensor =>
    options?.inplace ? inplace(input) : fresh(input);
};

export const relu = activation('relu');
export const relu6 = activation('relu6');
export const silu = activation('silu');
export const mish = activation('mish');
export const selu = activation('selu');
export const hardswish = activation('hardswish');
export const hardsigmoid = activation('hardsigmoid');
export const sigmoid = activation('sigmoid');
export const tanh = activation('tanh');

const leakyReluOp = op('aten::leaky_relu');
const leakyRelu_ = op('aten::leaky_relu_');
const eluOp = op('aten::elu');
const elu_ = op('aten::elu_');
const hardtanhOp = op('aten::hardtanh');
const hardtanh_ = op('aten::hardtanh_');
const preluOp = op('aten::prelu');
const geluOp = op('aten::gelu');
const softplusOp = op('aten::softplus');
const softsignAbs = op('aten::abs');
const logSigmoidOp = op('aten::log_sigmoid');
const softmaxOp = op('aten::softmax', 'int');
const logSoftmaxOp = op('aten::log_softmax', 'int');
const gluOp = op('aten::glu');

export const leakyRelu = (input: Tensor, negativeSlope = 0.01, options?: InplaceOption): Tensor =>
  (options?.inplace ? leakyRelu_ : leakyReluOp)(input, negativeSlope);

export const elu = (input: Tensor, alpha = 1, options?: InplaceOption): Tensor =>
  (options?.inplace ? elu_ : eluOp)(input, alpha);

export const hardtanh = (input: Tensor, min = -1, max = 1, options?: InplaceOption): Tensor =>
  (options?.inplace ? hardtanh_ : hardtanhOp)(input, min, max);

export const prelu = (input: Tensor, weight: Tensor): Tensor => preluOp(input, weight);

export const gelu = (input: Tensor, options: { approximate?: 'none' | 'tanh' } = {}): Tensor =>
  geluOp(input, { approximate: options.approximate ?? 'none' });

export const softplus = (input: Tensor, beta = 1, threshold = 20): Tensor =>
  softplusOp(input, beta, threshold);

export const softsign = (input: Tensor): Tensor => input.div(softsignAbs(input).add(1));

export const logSigmoid = (input: Tensor): Tensor => logSigmoidOp(input);

export const softmax = (input: Tensor, dim: number, options?: { dtype?: DType }): Tensor =>
  softmaxOp(input, dim, options);

export const logSoftmax = (input: Tensor, dim: number, options?: { dtype?: DType }): Tensor =>
  logSoftmaxOp(input, dim, options);

/** First half times the sigmoid of the second half along `dim`. */
export const glu = (input: Tensor, dim = -1): Tensor => gluOp(input, dim);
