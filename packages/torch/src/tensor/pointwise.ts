import { op } from '../ops/call.ts';
import type { GeneratorHandle } from '../ops/schema.ts';
import type { DType } from './dtype.ts';
import { TensorMath } from './math.ts';
import type { Tensor } from './tensor.ts';

export interface RandomFillOptions {
  generator?: GeneratorHandle;
}

const exp = op('aten::exp');
const exp_ = op('aten::exp_');
const expm1 = op('aten::expm1');
const log = op('aten::log');
const log_ = op('aten::log_');
const log2 = op('aten::log2');
const log10 = op('aten::log10');
const log1p = op('aten::log1p');
const sqrt = op('aten::sqrt');
const sqrt_ = op('aten::sqrt_');
const rsqrt = op('aten::rsqrt');
const square = op('aten::square');
const reciprocal = op('aten::reciprocal');
const reciprocal_ = op('aten::reciprocal_');
const abs = op('aten::abs');
const abs_ = op('aten::abs_');
const sign = op('aten::sign');
const sin = op('aten::sin');
const cos = op('aten::cos');
const tan = op('aten::tan');
const asin = op('aten::asin');
const acos = op('aten::acos');
const atan = op('aten::atan');
const erf = op('aten::erf');
const tanh = op('aten::tanh');
const sigmoid = op('aten::sigmoid');
const sigmoid_ = op('aten::sigmoid_');
const relu = op('aten::relu');
const relu_ = op('aten::relu_');
const silu = op('aten::silu');
const silu_ = op('aten::silu_');
const gelu = op('aten::gelu');
const softplus = op('aten::softplus');
const softmax = op('aten::softmax', 'int');
const logSoftmax = op('aten::log_softmax', 'int');
const clamp = op('aten::clamp');
const clamp_ = op('aten::clamp_');
const clampMin = op('aten::clamp_min');
const clampMin_ = op('aten::clamp_min_');
const clampMax = op('aten::clamp_max');
const clampMax_ = op('aten::clamp_max_');
const floor = op('aten::floor');
const floor_ = op('aten::floor_');
const ceil = op('aten::ceil');
const ceil_ = op('aten::ceil_');
const round = op('aten::round');
const round_ = op('aten::round_');
const trunc = op('aten::trunc');
const frac = op('aten::frac');
const isfinite = op('aten::isfinite');
const isnan = op('aten::isnan');
const isinf = op('aten::isinf');
const nanToNum = op('aten::nan_to_num');
const nanToNum_ = op('aten::nan_to_num_');
const zero_ = op('aten::zero_');
const fill_ = op('aten::fill_');
const copy_ = op('aten::copy_');
const normal_ = op('aten::normal_');
const uniform_ = op('aten::uniform_');
const bernoulli_ = op('aten::bernoulli_');
const random_ = op('aten::random_');

/** Functions of each element, and in-place filling. */
export abstract class TensorPointwise extends TensorMath {
  exp(): Tensor {
    return exp(this);
  }

  exp_(): Tensor {
    return exp_(this);
  }

  expm1(): Tensor {
    return expm1(this);
  }

  log(): Tensor {
    return log(this);
  }

  log_(): Tensor {
    return log_(this);
  }

  log2(): Tensor {
    return log2(this);
  }

  log10(): Tensor {
    return log10(this);
  }

  log1p(): Tensor {
    return log1p(this);
  }

  sqrt(): Tensor {
    return sqrt(this);
  }

  sqrt_(): Tensor {
    return sqrt_(this);
  }

  rsqrt(): Tensor {
    return rsqrt(this);
  }

  square(): Tensor {
    return square(this);
  }

  reciprocal(): Tensor {
    return reciprocal(this);
  }

  reciprocal_(): Tensor {
    return reciprocal_(this);
  }

  abs(): Tensor {
    return abs(this);
  }

  abs_(): Tensor {
    return abs_(this);
  }

  sign(): Tensor {
    return sign(this);
  }

  sin(): Tensor {
    return sin(this);
  }

  cos(): Tensor {
    return cos(this);
  }

  tan(): Tensor {
    return tan(this);
  }

  asin(): Tensor {
    return asin(this);
  }

  acos(): Tensor {
    return acos(this);
  }

  atan(): Tensor {
    return atan(this);
  }

  erf(): Tensor {
    return erf(this);
  }

  tanh(): Tensor {
    return tanh(this);
  }

  sigmoid(): Tensor {
    return sigmoid(this);
  }

  sigmoid_(): Tensor {
    return sigmoid_(this);
  }

  relu(): Tensor {
    return relu(this);
  }

  relu_(): Tensor {
    return relu_(this);
  }

  silu(): Tensor {
    return silu(this);
  }

  silu_(): Tensor {
    return silu_(this);
  }

  gelu(options?: { approximate?: 'none' | 'tanh' }): Tensor {
    return gelu(this, options);
  }

  softplus(beta = 1, threshold = 20): Tensor {
    return softplus(this, beta, threshold);
  }

  softmax(dim: number, options?: { dtype?: DType }): Tensor {
    return softmax(this, dim, options);
  }

  logSoftmax(dim: number, options?: { dtype?: DType }): Tensor {
    return logSoftmax(this, dim, options);
  }

  /** Limits each element to [min, max]; null leaves that side open. */
  clamp(min: Tensor | number | null, max: Tensor | number | null = null): Tensor {
    return clamp(this, min, max);
  }

  clamp_(min: Tensor | number | null, max: Tensor | number | null = null): Tensor {
    return clamp_(this, min, max);
  }

  clampMin(min: Tensor | number): Tensor {
    return clampMin(this, min);
  }

  clampMin_(min: Tensor | number): Tensor {
    return clampMin_(this, min);
  }

  clampMax(max: Tensor | number): Tensor {
    return clampMax(this, max);
  }

  clampMax_(max: Tensor | number): Tensor {
    return clampMax_(this, max);
  }

  floor(): Tensor {
    return floor(this);
  }

  floor_(): Tensor {
    return floor_(this);
  }

  ceil(): Tensor {
    return ceil(this);
  }

  ceil_(): Tensor {
    return ceil_(this);
  }

  /** To the nearest integer, halves to even. */
  round(options?: { decimals: number }): Tensor {
    return round(this, options);
  }

  round_(): Tensor {
    return round_(this);
  }

  trunc(): Tensor {
    return trunc(this);
  }

  frac(): Tensor {
    return frac(this);
  }

  isfinite(): Tensor {
    return isfinite(this);
  }

  isnan(): Tensor {
    return isnan(this);
  }

  isinf(): Tensor {
    return isinf(this);
  }

  nanToNum(nan?: number, posinf?: number, neginf?: number): Tensor {
    return nanToNum(this, nan, posinf, neginf);
  }

  nanToNum_(nan?: number, posinf?: number, neginf?: number): Tensor {
    return nanToNum_(this, nan, posinf, neginf);
  }

  zero_(): Tensor {
    return zero_(this);
  }

  fill_(value: Tensor | number | boolean): Tensor {
    return fill_(this, value);
  }

  /** Copies values (with broadcast and dtype conversion) into this tensor. */
  copy_(source: Tensor, nonBlocking = false): Tensor {
    return nonBlocking ? copy_(this, source, true) : copy_(this, source);
  }

  normal_(mean = 0, std = 1, options?: RandomFillOptions): Tensor {
    return normal_(this, mean, std, options);
  }

  /** Uniform in [from, to). */
  uniform_(from = 0, to = 1, options?: RandomFillOptions): Tensor {
    return uniform_(this, from, to, options);
  }

  bernoulli_(p: Tensor | number = 0.5, options?: RandomFillOptions): Tensor {
    return bernoulli_(this, p, options);
  }

  /** Integers in [from, to). */
  random_(from: number, to: number, options?: RandomFillOptions): Tensor {
    return random_(this, from, to, options);
  }
}
