import { TorchError } from '@mezzo/libtorch';
import { noGrad } from '../autograd/modes.ts';
import { op } from '../ops/call.ts';
import type { GeneratorHandle } from '../ops/schema.ts';
import { where } from '../tensor/compose.ts';
import { emptyLike, randn, scalarTensor } from '../tensor/creation.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** torch.nn.init: fillers of weights, in place and outside the graph. They draw from PyTorch's random stream. */

export type Nonlinearity = 'linear' | 'sigmoid' | 'tanh' | 'relu' | 'leaky_relu' | 'selu';

export interface GeneratorOption {
  generator?: GeneratorHandle;
}

export interface KaimingOptions extends GeneratorOption {
  /** Negative slope of the leaky ReLU that follows. */
  a?: number;
  /** 'fanIn' keeps the variance in the forward pass, 'fanOut' in the backward pass. */
  mode?: 'fanIn' | 'fanOut';
  nonlinearity?: Nonlinearity;
}

export interface XavierOptions extends GeneratorOption {
  gain?: number;
}

export const uniform_ = <T extends Tensor>(tensor: T, from = 0, to = 1, options?: GeneratorOption): T =>
  fill(tensor, () => tensor.uniform_(from, to, randomSource(options)));

export const normal_ = <T extends Tensor>(tensor: T, mean = 0, std = 1, options?: GeneratorOption): T =>
  fill(tensor, () => tensor.normal_(mean, std, randomSource(options)));

export const constant_ = <T extends Tensor>(tensor: T, value: number): T =>
  fill(tensor, () => tensor.fill_(value));

export const ones_ = <T extends Tensor>(tensor: T): T => constant_(tensor, 1);

export const zeros_ = <T extends Tensor>(tensor: T): T => constant_(tensor, 0);

/** He et al. 2015, uniform in ±gain · sqrt(3 / fan). */
export function kaimingUniform_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  if (tensor.numel() === 0) return tensor;
  const bound = Math.sqrt(3) * kaimingStd(tensor, options);
  return uniform_(tensor, -bound, bound, options);
}

/** He et al. 2015, normal with std gain / sqrt(fan). */
export function kaimingNormal_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  if (tensor.numel() === 0) return tensor;
  return normal_(tensor, 0, kaimingStd(tensor, options), options);
}

/** Glorot and Bengio 2010, uniform in ±gain · sqrt(6 / (fanIn + fanOut)). */
export function xavierUniform_<T extends Tensor>(tensor: T, options: XavierOptions = {}): T {
  const bound = Math.sqrt(3) * xavierStd(tensor, options);
  return uniform_(tensor, -bound, bound, options);
}

export const xavierNormal_ = <T extends Tensor>(tensor: T, options: XavierOptions = {}): T =>
  normal_(tensor, 0, xavierStd(tensor, options), options);

export interface TruncNormalOptions extends GeneratorOption {
  mean?: number;
  std?: number;
  a?: number;
  b?: number;
}

/** Normal, with values outside [a, b] drawn again. */
export function truncNormal_<T extends Tensor>(tensor: T, options: TruncNormalOptions = {}): T {
  const { mean = 0, std = 1, a = -2, b = 2 } = options;
  const likely = normalCdf((b - mean) / std) - normalCdf((a - mean) / std) > 0.3;
  return fill(tensor, () => (likely ? redrawOutliers : rejectUniform)(tensor, mean, std, a, b, options));
}

/** Where most draws fall inside: normal draws, outliers replaced until none is left. */
function redrawOutliers(
  tensor: Tensor,
  mean: number,
  std: number,
  a: number,
  b: number,
  options: GeneratorOption,
) {
  const source = randomSource(options);
  tensor.normal_(mean, std, source);
  redrawWhile(
    () => tensor.lt(a).logicalOr(tensor.gt(b)),
    (outside) => tensor.copy_(where(outside, emptyLike(tensor).normal_(mean, std, source), tensor)),
  );
}

/** Where few would: uniform draws on [a, b], each accepted with the density's height relative to its peak. */
function rejectUniform(
  tensor: Tensor,
  mean: number,
  std: number,
  a: number,
  b: number,
  options: GeneratorOption,
) {
  const source = randomSource(options);
  const mode = Math.max(a, Math.min(mean, b));
  const logPeak = -0.5 * ((mode - mean) / std) ** 2;
  const rejected = (candidates: Tensor) => {
    const logHeight = candidates.sub(mean).div(std).pow(2).mul(-0.5).sub(logPeak);
    return emptyLike(tensor).uniform_(0, 1, source).log_().gt(logHeight);
  };
  tensor.uniform_(a, b, source);
  let pending = rejected(tensor);
  redrawWhile(
    () => pending,
    (again) => {
      const candidates = emptyLike(tensor).uniform_(a, b, source);
      const stillRejected = rejected(candidates);
      tensor.copy_(where(again, candidates, tensor));
      pending = again.logicalAnd(stillRejected);
    },
  );
}

function redrawWhile(pending: () => Tensor, redraw: (pending: Tensor) => unknown): void {
  // sync: how often to draw depends on the values
  for (let mask = pending(); mask.any().item(); mask = pending()) redraw(mask);
}

/** Saxe et al. 2013: (semi-)orthogonal rows, of the tensor seen as [rows, rest]. */
export function orthogonal_<T extends Tensor>(tensor: T, options: XavierOptions = {}): T {
  if (tensor.ndim < 2) throw new TorchError('VALUE', 'Only tensors with 2 or more dimensions are supported');
  if (tensor.numel() === 0) return tensor;
  return fill(tensor, () => {
    const rows = tensor.size(0);
    const columns = tensor.numel() / rows;
    const flat = randn([rows, columns], {
      dtype: tensor.dtype,
      device: tensor.device,
      ...randomSource(options),
    });
    const wide = rows < columns;
    const [q, r] = qr(wide ? flat.t() : flat);
    const oriented = q.mul(r.diagonal().sign());
    tensor.copy_((wide ? oriented.t() : oriented).reshape(tensor.shape));
    tensor.mul_(options.gain ?? 1);
  });
}

/** The factor by which a nonlinearity shrinks the standard deviation, inverted. */
export function calculateGain(nonlinearity: Nonlinearity, slope = 0.01): number {
  const gain = GAINS[nonlinearity];
  if (gain === undefined) throw new TorchError('VALUE', `Unsupported nonlinearity ${nonlinearity}`);
  return gain(slope);
}

const GAINS: Record<Nonlinearity, (slope: number) => number> = {
  linear: () => 1,
  sigmoid: () => 1,
  tanh: () => 5 / 3,
  relu: () => Math.sqrt(2),
  leaky_relu: (slope) => Math.sqrt(2 / (1 + slope ** 2)),
  selu: () => 3 / 4,
};

/** Inputs and outputs that one output and one input see. */
export function calculateFanInAndFanOut(tensor: Tensor): { fanIn: number; fanOut: number } {
  const [outputs, inputs, ...kernel] = tensor.shape;
  if (outputs === undefined || inputs === undefined) {
    throw new TorchError(
      'VALUE',
      'Fan in and fan out can not be computed for tensor with fewer than 2 dimensions',
    );
  }
  const field = kernel.reduce((product, size) => product * size, 1);
  return { fanIn: inputs * field, fanOut: outputs * field };
}

const qr = op<(tensor: Tensor) => [q: Tensor, r: Tensor]>('aten::linalg_qr');
const erf = op('aten::erf');

/** Φ(x), by LibTorch's erf in double precision (JavaScript has none). */
const normalCdf = (x: number): number =>
  scope(() => (1 + Number(erf(scalarTensor(x / Math.SQRT2, 'float64')).item())) / 2);

const randomSource = (options?: GeneratorOption) => ({ generator: options?.generator });

function kaimingStd(tensor: Tensor, options: KaimingOptions): number {
  const { fanIn, fanOut } = calculateFanInAndFanOut(tensor);
  const gain = calculateGain(options.nonlinearity ?? 'leaky_relu', options.a ?? 0);
  return gain / Math.sqrt(options.mode === 'fanOut' ? fanOut : fanIn);
}

function xavierStd(tensor: Tensor, options: XavierOptions): number {
  const { fanIn, fanOut } = calculateFanInAndFanOut(tensor);
  return (options.gain ?? 1) * Math.sqrt(2 / (fanIn + fanOut));
}

function fill<T extends Tensor>(tensor: T, write: () => unknown): T {
  noGrad(() =>
    scope(() => {
      write();
    }),
  );
  return tensor;
}
