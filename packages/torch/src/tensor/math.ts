import { op } from '../ops/call.ts';
import { TensorHandle } from './handle.ts';
import type { Tensor } from './tensor.ts';

/** A second operand: a tensor, or a number that takes the tensor's dtype family. */
export type Operand = Tensor | number | bigint | boolean;

export interface AlphaOption {
  /** The second operand is multiplied by it first. */
  alpha?: number;
}

export interface DivOptions {
  roundingMode?: 'trunc' | 'floor' | null;
}

const add = op('aten::add');
const add_ = op('aten::add_');
const sub = op('aten::sub');
const sub_ = op('aten::sub_');
const rsub = op('aten::rsub');
const mul = op('aten::mul');
const mul_ = op('aten::mul_');
const div = op('aten::div');
const div_ = op('aten::div_');
const floorDivide = op('aten::floor_divide');
const remainder = op('aten::remainder');
const fmod = op('aten::fmod');
const pow = op('aten::pow');
const pow_ = op('aten::pow_');
const neg = op('aten::neg');
const neg_ = op('aten::neg_');
const matmul = op('aten::matmul');
const mm = op('aten::mm');
const bmm = op('aten::bmm');
const mv = op('aten::mv');
const dot = op('aten::dot');
const outer = op('aten::outer');
const addmm = op('aten::addmm');
const addcmul = op('aten::addcmul');
const addcmul_ = op('aten::addcmul_');
const addcdiv = op('aten::addcdiv');
const addcdiv_ = op('aten::addcdiv_');
const lerp = op('aten::lerp');
const lerp_ = op('aten::lerp_');
const maximum = op('aten::maximum');
const minimum = op('aten::minimum');
const atan2 = op('aten::atan2');
const eq = op('aten::eq');
const ne = op('aten::ne');
const lt = op('aten::lt');
const le = op('aten::le');
const gt = op('aten::gt');
const ge = op('aten::ge');
const logicalAnd = op('aten::logical_and');
const logicalOr = op('aten::logical_or');
const logicalXor = op('aten::logical_xor');
const logicalNot = op('aten::logical_not');
const bitwiseAnd = op('aten::bitwise_and');
const bitwiseOr = op('aten::bitwise_or');
const bitwiseXor = op('aten::bitwise_xor');
const bitwiseNot = op('aten::bitwise_not');
const equal = op<(a: TensorHandle, b: TensorHandle) => boolean>('aten::equal');
const allclose = op<(...args: unknown[]) => boolean>('aten::allclose');

const roundingMode = (options: DivOptions | undefined) =>
  options === undefined ? undefined : { rounding_mode: options.roundingMode };

/** Arithmetic, comparison and logic. A trailing underscore changes the tensor in place and returns it. */
export abstract class TensorMath extends TensorHandle {
  add(other: Operand, options?: AlphaOption): Tensor {
    return add(this, other, options);
  }

  add_(other: Operand, options?: AlphaOption): Tensor {
    return add_(this, other, options);
  }

  sub(other: Operand, options?: AlphaOption): Tensor {
    return sub(this, other, options);
  }

  sub_(other: Operand, options?: AlphaOption): Tensor {
    return sub_(this, other, options);
  }

  /** other - this */
  rsub(other: Operand, options?: AlphaOption): Tensor {
    return rsub(this, other, options);
  }

  mul(other: Operand): Tensor {
    return mul(this, other);
  }

  mul_(other: Operand): Tensor {
    return mul_(this, other);
  }

  /** True division; integers give float32 unless a rounding mode is given. */
  div(other: Operand, options?: DivOptions): Tensor {
    return div(this, other, roundingMode(options));
  }

  div_(other: Operand, options?: DivOptions): Tensor {
    return div_(this, other, roundingMode(options));
  }

  floorDivide(other: Operand): Tensor {
    return floorDivide(this, other);
  }

  /** Python's `%`: the result has the sign of the divisor. */
  remainder(other: Operand): Tensor {
    return remainder(this, other);
  }

  /** C's `fmod`: the result has the sign of the dividend. */
  fmod(other: Operand): Tensor {
    return fmod(this, other);
  }

  pow(exponent: Operand): Tensor {
    return pow(this, exponent);
  }

  pow_(exponent: Operand): Tensor {
    return pow_(this, exponent);
  }

  neg(): Tensor {
    return neg(this);
  }

  neg_(): Tensor {
    return neg_(this);
  }

  matmul(other: Tensor): Tensor {
    return matmul(this, other);
  }

  mm(other: Tensor): Tensor {
    return mm(this, other);
  }

  bmm(other: Tensor): Tensor {
    return bmm(this, other);
  }

  mv(vector: Tensor): Tensor {
    return mv(this, vector);
  }

  dot(other: Tensor): Tensor {
    return dot(this, other);
  }

  outer(other: Tensor): Tensor {
    return outer(this, other);
  }

  /** beta * this + alpha * (a @ b) */
  addmm(a: Tensor, b: Tensor, options?: { beta?: number; alpha?: number }): Tensor {
    return addmm(this, a, b, options);
  }

  /** this + value * a * b */
  addcmul(a: Tensor, b: Tensor, options?: { value?: number }): Tensor {
    return addcmul(this, a, b, options);
  }

  addcmul_(a: Tensor, b: Tensor, options?: { value?: number }): Tensor {
    return addcmul_(this, a, b, options);
  }

  /** this + value * a / b */
  addcdiv(a: Tensor, b: Tensor, options?: { value?: number }): Tensor {
    return addcdiv(this, a, b, options);
  }

  addcdiv_(a: Tensor, b: Tensor, options?: { value?: number }): Tensor {
    return addcdiv_(this, a, b, options);
  }

  /** this + weight * (end - this) */
  lerp(end: Tensor, weight: Tensor | number): Tensor {
    return lerp(this, end, weight);
  }

  lerp_(end: Tensor, weight: Tensor | number): Tensor {
    return lerp_(this, end, weight);
  }

  maximum(other: Tensor): Tensor {
    return maximum(this, other);
  }

  minimum(other: Tensor): Tensor {
    return minimum(this, other);
  }

  atan2(other: Tensor): Tensor {
    return atan2(this, other);
  }

  eq(other: Operand): Tensor {
    return eq(this, other);
  }

  ne(other: Operand): Tensor {
    return ne(this, other);
  }

  lt(other: Operand): Tensor {
    return lt(this, other);
  }

  le(other: Operand): Tensor {
    return le(this, other);
  }

  gt(other: Operand): Tensor {
    return gt(this, other);
  }

  ge(other: Operand): Tensor {
    return ge(this, other);
  }

  logicalAnd(other: Tensor): Tensor {
    return logicalAnd(this, other);
  }

  logicalOr(other: Tensor): Tensor {
    return logicalOr(this, other);
  }

  logicalXor(other: Tensor): Tensor {
    return logicalXor(this, other);
  }

  logicalNot(): Tensor {
    return logicalNot(this);
  }

  bitwiseAnd(other: Operand): Tensor {
    return bitwiseAnd(this, other);
  }

  bitwiseOr(other: Operand): Tensor {
    return bitwiseOr(this, other);
  }

  bitwiseXor(other: Operand): Tensor {
    return bitwiseXor(this, other);
  }

  bitwiseNot(): Tensor {
    return bitwiseNot(this);
  }

  /** Same shape and values. A device tensor makes the host wait. */
  equal(other: Tensor): boolean {
    return equal(this, other);
  }

  /** |this - other| <= atol + rtol * |other| everywhere. A device tensor makes the host wait. */
  allclose(other: Tensor, options: { rtol?: number; atol?: number; equalNan?: boolean } = {}): boolean {
    const { rtol = 1e-5, atol = 1e-8, equalNan = false } = options;
    return allclose(this, other, rtol, atol, equalNan);
  }
}
