import { native, TorchError } from '@mezzo/libtorch';
import { op } from '../ops/call.ts';
import { describe, type GeneratorHandle } from '../ops/schema.ts';
import { type DType, dtypeOfTypedArray, type MemoryFormat, type TypedArray } from './dtype.ts';
import type { TensorHandle } from './handle.ts';
import { adopt } from './lifetime.ts';
import type { Tensor } from './tensor.ts';

export interface TensorOptions {
  dtype?: DType;
  device?: string;
  requiresGrad?: boolean;
  /** Page-locked host memory, from which copies to a GPU can overlap with work (CUDA only). */
  pinMemory?: boolean;
}

export interface RandomOptions extends TensorOptions {
  generator?: GeneratorHandle;
}

export interface LikeOptions extends TensorOptions {
  memoryFormat?: MemoryFormat;
}

type Scalar = number | bigint | boolean;
export type NestedArray = Scalar | readonly NestedArray[];

const zerosOp = op('aten::zeros');
const onesOp = op('aten::ones');
const fullOp = op('aten::full');
const emptyOp = op('aten::empty');
const arangeOp = op('aten::arange');
const linspaceOp = op('aten::linspace');
const eyeOp = op('aten::eye');
const randOp = op('aten::rand');
const randnOp = op('aten::randn');
const randintOp = op('aten::randint');
const randpermOp = op('aten::randperm');
const scalarTensorOp = op('aten::scalar_tensor');
const zerosLikeOp = op('aten::zeros_like');
const onesLikeOp = op('aten::ones_like');
const emptyLikeOp = op('aten::empty_like');
const fullLikeOp = op('aten::full_like');
const randLikeOp = op('aten::rand_like');
const randnLikeOp = op('aten::randn_like');

/**
 * A tensor with a copy of `data`: a number, boolean or bigint, a typed array, or nested arrays of equal
 * lengths. Numbers give float32, booleans bool, bigints int64, a typed array its own type; `dtype` converts.
 * (JavaScript cannot tell 1.0 from 1, so unlike in Python whole numbers do not mean int64.)
 * @throws TorchError BAD_ARGUMENT when nested arrays are ragged or hold something else.
 */
export function tensor(
  data: NestedArray | TypedArray,
  options: TensorOptions & { shape?: readonly number[] } = {},
): Tensor {
  const { values, shape, dtype } = ArrayBuffer.isView(data)
    ? { values: data, shape: [data.length], dtype: dtypeOfTypedArray(data) }
    : flattenNested(data);
  const made = adopt(native().fromTyped(values, [...(options.shape ?? shape)], options.dtype ?? dtype));
  return finish(options.device === undefined ? made : made.to(options.device), options);
}

/** Uninitialised memory. */
export const empty = (shape: readonly number[], options: LikeOptions = {}): Tensor =>
  finish(emptyOp(shape, factoryKeywords(options)), options);

export const zeros = (shape: readonly number[], options: TensorOptions = {}): Tensor =>
  finish(zerosOp(shape, factoryKeywords(options)), options);

export const ones = (shape: readonly number[], options: TensorOptions = {}): Tensor =>
  finish(onesOp(shape, factoryKeywords(options)), options);

/** Every element `value`; float32 for a number, bool for a boolean, int64 for a bigint. */
export const full = (shape: readonly number[], value: Scalar, options: TensorOptions = {}): Tensor =>
  finish(fullOp(shape, value, factoryKeywords({ dtype: dtypeOfScalar(value), ...options })), options);

/** start, start + step, … below `end`; `arange(end)` begins at 0. int64 when all are whole, else float32. */
export function arange(end: number, options?: TensorOptions): Tensor;
export function arange(start: number, end: number, options?: TensorOptions): Tensor;
export function arange(start: number, end: number, step: number, options?: TensorOptions): Tensor;
export function arange(...args: (number | TensorOptions | undefined)[]): Tensor {
  const numbers = args.filter((arg) => typeof arg === 'number');
  const options = args.find((arg): arg is TensorOptions => typeof arg === 'object') ?? {};
  return finish(arangeOp(...numbers, factoryKeywords(options)), options);
}

/** `steps` values evenly spaced from `start` to `end`, both included. */
export const linspace = (start: number, end: number, steps: number, options: TensorOptions = {}): Tensor =>
  finish(linspaceOp(start, end, steps, factoryKeywords(options)), options);

/** Identity matrix, n x m (square by default). */
export const eye = (n: number, m: number = n, options: TensorOptions = {}): Tensor =>
  finish(eyeOp(n, m, factoryKeywords(options)), options);

/** Uniform in [0, 1). */
export const rand = (shape: readonly number[], options: RandomOptions = {}): Tensor =>
  finish(randOp(shape, randomKeywords(options)), options);

/** Standard normal. */
export const randn = (shape: readonly number[], options: RandomOptions = {}): Tensor =>
  finish(randnOp(shape, randomKeywords(options)), options);

/** Integers in [low, high), int64. */
export const randint = (
  low: number,
  high: number,
  shape: readonly number[],
  options: RandomOptions = {},
): Tensor => finish(randintOp(low, high, shape, randomKeywords(options)), options);

/** 0 … n-1 in random order, int64. */
export const randperm = (n: number, options: RandomOptions = {}): Tensor =>
  finish(randpermOp(n, randomKeywords(options)), options);

export const zerosLike = (other: TensorHandle, options: LikeOptions = {}): Tensor =>
  finish(zerosLikeOp(other, factoryKeywords(options)), options);

export const onesLike = (other: TensorHandle, options: LikeOptions = {}): Tensor =>
  finish(onesLikeOp(other, factoryKeywords(options)), options);

export const emptyLike = (other: TensorHandle, options: LikeOptions = {}): Tensor =>
  finish(emptyLikeOp(other, factoryKeywords(options)), options);

export const fullLike = (other: TensorHandle, value: Scalar, options: LikeOptions = {}): Tensor =>
  finish(fullLikeOp(other, value, factoryKeywords(options)), options);

export const randLike = (other: TensorHandle, options: LikeOptions = {}): Tensor =>
  finish(randLikeOp(other, factoryKeywords(options)), options);

export const randnLike = (other: TensorHandle, options: LikeOptions = {}): Tensor =>
  finish(randnLikeOp(other, factoryKeywords(options)), options);

/** A tensor of no dimensions. */
export const scalarTensor = (value: Scalar, dtype?: DType, device?: string): Tensor =>
  scalarTensorOp(value, { dtype: dtype ?? dtypeOfScalar(value), device });

function factoryKeywords(options: LikeOptions): Record<string, unknown> {
  return {
    dtype: options.dtype,
    device: options.device,
    pin_memory: options.pinMemory,
    memory_format: options.memoryFormat,
  };
}

const randomKeywords = (options: RandomOptions) => ({
  ...factoryKeywords(options),
  generator: options.generator,
});

const finish = (made: Tensor, options: TensorOptions): Tensor =>
  options.requiresGrad ? made.requiresGrad_() : made;

const dtypeOfScalar = (value: Scalar): DType =>
  typeof value === 'boolean' ? 'bool' : typeof value === 'bigint' ? 'int64' : 'float32';

interface Flat {
  readonly values: TypedArray;
  readonly shape: number[];
  readonly dtype: DType;
}

/** Nested arrays as one typed array; the first element decides the type, the first of each level its size. */
function flattenNested(data: NestedArray): Flat {
  const shape: number[] = [];
  let first: NestedArray | undefined = data;
  while (Array.isArray(first)) {
    shape.push(first.length);
    first = first[0] as NestedArray | undefined;
  }
  const scalars: Scalar[] = [];
  collectScalars(data, shape, 0, typeof first, scalars);
  switch (typeof first) {
    case 'boolean':
      return { values: Uint8Array.from(scalars as boolean[], Number), shape, dtype: 'bool' };
    case 'bigint':
      return { values: BigInt64Array.from(scalars as bigint[]), shape, dtype: 'int64' };
    default:
      // Doubles cross to the native side, so that dtype float64 or int64 loses nothing on the way.
      return { values: Float64Array.from(scalars as number[]), shape, dtype: 'float32' };
  }
}

function collectScalars(
  data: NestedArray,
  shape: readonly number[],
  level: number,
  kind: string,
  out: Scalar[],
): void {
  if (level === shape.length) {
    if (typeof data !== kind || !['number', 'bigint', 'boolean'].includes(kind)) {
      throw new TorchError(
        'BAD_ARGUMENT',
        `tensor: expected ${shape.length === 0 ? 'a number, boolean or bigint' : `a ${kind}`}, got ${describe(data)}`,
      );
    }
    out.push(data as Scalar);
    return;
  }
  if (!Array.isArray(data) || data.length !== shape[level]) {
    const got = Array.isArray(data) ? `length ${data.length}` : describe(data);
    throw new TorchError(
      'BAD_ARGUMENT',
      `tensor: expected a list of length ${shape[level]} at dimension ${level}, got ${got}`,
    );
  }
  for (const element of data as readonly NestedArray[]) collectScalars(element, shape, level + 1, kind, out);
}
