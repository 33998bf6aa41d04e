import { op, type Tensor } from '@mezzo/torch';
import { lookUp } from './errors.ts';

export type Activation = (x: Tensor) => Tensor;
/** An id such as 'relu', a function, or null for none. */
export type ActivationId = string | Activation | null;

const eluOp = op('aten::elu');
const seluOp = op('aten::selu');
const mishOp = op('aten::mish');
const leakyReluOp = op('aten::leaky_relu');
const hardSigmoidOp = op('aten::hardsigmoid');
const hardSwishOp = op('aten::hardswish');

export const linear: Activation = (x) => x;
export const relu: Activation = (x) => x.relu();
export const relu6: Activation = (x) => x.clamp(0, 6);
/** Slope 0.2 below zero, Keras's default. */
export const leakyRelu: Activation = (x) => leakyReluOp(x, 0.2);
export const elu: Activation = (x) => eluOp(x);
export const selu: Activation = (x) => seluOp(x);
export const gelu: Activation = (x) => x.gelu();
export const silu: Activation = (x) => x.silu();
export const mish: Activation = (x) => mishOp(x);
export const tanh: Activation = (x) => x.tanh();
export const sigmoid: Activation = (x) => x.sigmoid();
export const hardSigmoid: Activation = (x) => hardSigmoidOp(x);
export const hardSilu: Activation = (x) => hardSwishOp(x);
export const softplus: Activation = (x) => x.softplus();
export const softsign: Activation = (x) => x.div(x.abs().add(1));
export const exponential: Activation = (x) => x.exp();
/** Over the last axis. */
export const softmax: Activation = (x) => x.softmax(-1);
export const logSoftmax: Activation = (x) => x.logSoftmax(-1);

const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  linear,
  relu,
  relu6,
  leaky_relu: leakyRelu,
  elu,
  selu,
  gelu,
  silu,
  swish: silu,
  mish,
  tanh,
  sigmoid,
  hard_sigmoid: hardSigmoid,
  hard_silu: hardSilu,
  hard_swish: hardSilu,
  softplus,
  softsign,
  exponential,
  softmax,
  log_softmax: logSoftmax,
};

/** @throws KerasError UNKNOWN_ID */
export const asActivation = (id: ActivationId = null): Activation =>
  typeof id === 'function' ? id : id === null ? linear : lookUp('activation', id, ACTIVATIONS);
