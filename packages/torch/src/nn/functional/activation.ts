import { op } from '../../ops/call.ts';
import { emptyLike, zerosLike } from '../../tensor/creation.ts';
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
const exponential_ = op('aten::exponential_');
const gluOp = op('aten::glu');
const celuOp = op('aten::celu');
const celu_ = op('aten::celu_');
const rreluOp = op('aten::rrelu');
const rrelu_ = op('aten::rrelu_');
const hardshrinkOp = op('aten::hardshrink');
const softshrinkOp = op('aten::softshrink');
const thresholdOp = op('aten::threshold');
const threshold_ = op('aten::threshold_');

export const leakyRelu = (input: Tensor, negativeSlope = 0.01, options?: InplaceOption): Tensor =>
  (options?.inplace ? leakyRelu_ : leakyReluOp)(input, negativeSlope);

export const elu = (input: Tensor, alpha = 1, options?: InplaceOption): Tensor =>
  (options?.inplace ? elu_ : eluOp)(input, alpha);

export const hardtanh = (input: Tensor, min = -1, max = 1, options?: InplaceOption): Tensor =>
  (options?.inplace ? hardtanh_ : hardtanhOp)(input, min, max);

/** max(0, x) + min(0, alpha · (exp(x / alpha) - 1)) */
export const celu = (input: Tensor, alpha = 1, options?: InplaceOption): Tensor =>
  (options?.inplace ? celu_ : celuOp)(input, alpha);

/** A leaky ReLU whose slope is drawn from [lower, upper] while training, their mean otherwise. */
export const rrelu = (
  input: Tensor,
  lower = 1 / 8,
  upper = 1 / 3,
  options: InplaceOption & { training?: boolean } = {},
): Tensor => (options.inplace ? rrelu_ : rreluOp)(input, lower, upper, options.training ?? false);

/** x where |x| > lambda, else 0 */
export const hardshrink = (input: Tensor, lambda = 0.5): Tensor => hardshrinkOp(input, lambda);

/** x moved towards 0 by lambda */
export const softshrink = (input: Tensor, lambda = 0.5): Tensor => softshrinkOp(input, lambda);

/** x - tanh(x) */
export const tanhshrink = (input: Tensor): Tensor => input.sub(input.tanh());

/** x where x > threshold, else value */
export const threshold = (input: Tensor, limit: number, value: number, options?: InplaceOption): Tensor =>
  (options?.inplace ? threshold_ : thresholdOp)(input, limit, value);

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

export const softmin = (input: Tensor, dim: number, options?: { dtype?: DType }): Tensor =>
  softmaxOp(input.neg(), dim, options);

/** A sample of the relaxed categorical distribution (Jang et al. 2017); `hard` gives one-hot rows. */
export function gumbelSoftmax(
  logits: Tensor,
  options: { tau?: number; hard?: boolean; dim?: number } = {},
): Tensor {
  const { tau = 1, hard = false, dim = -1 } = options;
  const noise = exponential_(emptyLike(logits)).log().neg();
  const soft = softmaxOp(logits.add(noise).div(tau), dim);
  if (!hard) return soft;
  const chosen = zerosLike(logits).scatter_(dim, soft.argmax(dim, true), 1);
  // The value of the one-hot row with the gradient of the soft one.
  return chosen.sub(soft.detach()).add(soft);
}

/** First half times the sigmoid of the second half along `dim`. */
export const glu = (input: Tensor, dim = -1): Tensor => gluOp(input, dim);
