import { inspect } from 'node:util';
import { type Handle, native } from '@mezzo/libtorch';
import { type BackwardOptions, backward } from '../autograd/grad.ts';
import {
  type AccumulateHook,
  registerHook,
  registerPostAccumulateGradHook,
  type TensorHook,
} from '../autograd/hooks.ts';
import { op } from '../ops/call.ts';
import type { RemovableHandle } from '../removable-handle.ts';
import { type DType, isDType, isFloatingDType, type MemoryFormat, type TypedArray } from './dtype.ts';
import { type IndexElement, readIndex, writeIndex } from './index-access.ts';
import { adoptOptional, setTensorClass } from './lifetime.ts';
import { formatTensor } from './print.ts';
import { TensorShape } from './shape.ts';

export interface ToOptions {
  dtype?: DType;
  device?: string;
  memoryFormat?: MemoryFormat;
  /** Do not wait for a copy from pinned memory to the device. */
  nonBlocking?: boolean;
  /** Copy even when nothing changes. */
  copy?: boolean;
}

/** Values as nested arrays; a plain value for a tensor of no dimensions. */
export type NestedValues = number | boolean | bigint | NestedValues[];

const toOp = op('aten::to', 'dtype_layout');
const toDType = op('aten::to', 'dtype');
const cloneOp = op('aten::clone');
const detachOp = op('aten::detach');
const detach_ = op('aten::detach_');
const contiguousOp = op('aten::contiguous');
const pinOp = op('aten::pin_memory');

/** An n-dimensional array of one dtype on one device, LibTorch's tensor. */
export class Tensor extends TensorShape {
  get requiresGrad(): boolean {
    return native().requiresGrad(this.handle);
  }

  set requiresGrad(on: boolean) {
    native().setRequiresGrad(this.handle, on);
  }

  /** Records (or stops recording) operations on this tensor; returns it. */
  requiresGrad_(on = true): this {
    native().setRequiresGrad(this.handle, on);
    return this;
  }

  /** The accumulated gradient of a leaf, null before the first backward. */
  get grad(): Tensor | null {
    return adoptOptional(native().grad(this.handle));
  }

  set grad(grad: Tensor | null) {
    native().setGrad(this.handle, grad === null ? 0 : grad.handle);
  }

  /** False for a result of recorded operations. */
  get isLeaf(): boolean {
    return native().isLeaf(this.handle);
  }

  /** Name of the recorded operation that made this tensor, for example 'AddBackward0'. */
  get gradFn(): string | null {
    return native().gradFn(this.handle);
  }

  /** Adds d(this)/d(leaf) to the `.grad` of every leaf it depends on. */
  backward(options?: BackwardOptions): void {
    backward(this, options);
  }

  /**
   * Calls `hook` with the gradient of this tensor when backward has computed it, before it goes on; a tensor
   * that the hook returns takes its place. A hook that refers to its own tensor keeps it alive until removed.
   * @throws TorchError TORCH when the tensor requires no grad
   */
  registerHook(hook: TensorHook): RemovableHandle {
    return registerHook(this, hook);
  }

  /**
   * Calls `hook` with this leaf each time backward has added to its `.grad`.
   * @throws TorchError TORCH when the tensor requires no grad or is no leaf
   */
  registerPostAccumulateGradHook(hook: AccumulateHook): RemovableHandle {
    return registerPostAccumulateGradHook(this, hook);
  }

  /** The same memory, outside the graph. */
  detach(): Tensor {
    return detachOp(this);
  }

  detach_(): Tensor {
    return detach_(this);
  }

  clone(options?: { memoryFormat?: MemoryFormat }): Tensor {
    return options?.memoryFormat === undefined
      ? cloneOp(this)
      : cloneOp(this, { memory_format: options.memoryFormat });
  }

  /** Another dtype, device or memory format; the same tensor, not a copy, when nothing changes. */
  to(target: DType | string | ToOptions, options: ToOptions = {}): Tensor {
    if (typeof target === 'object') return this.convert(target);
    return this.convert(isDType(target) ? { dtype: target, ...options } : { device: target, ...options });
  }

  private convert({ dtype, device, memoryFormat, nonBlocking, copy }: ToOptions): Tensor {
    return toOp(this, { dtype, device, memory_format: memoryFormat, non_blocking: nonBlocking, copy });
  }

  float(): Tensor {
    return toDType(this, 'float32');
  }

  double(): Tensor {
    return toDType(this, 'float64');
  }

  half(): Tensor {
    return toDType(this, 'float16');
  }

  bfloat16(): Tensor {
    return toDType(this, 'bfloat16');
  }

  long(): Tensor {
    return toDType(this, 'int64');
  }

  int(): Tensor {
    return toDType(this, 'int32');
  }

  byte(): Tensor {
    return toDType(this, 'uint8');
  }

  bool(): Tensor {
    return toDType(this, 'bool');
  }

  cpu(): Tensor {
    return this.convert({ device: 'cpu' });
  }

  cuda(options?: { nonBlocking?: boolean }): Tensor {
    return this.convert({ device: 'cuda', nonBlocking: options?.nonBlocking });
  }

  /** A copy in page-locked host memory (CUDA only). */
  pinMemory(): Tensor {
    return pinOp(this);
  }

  /** The tensor itself when its elements already lie in that order, else a copy. */
  contiguous(options?: { memoryFormat?: MemoryFormat }): Tensor {
    return options?.memoryFormat === undefined
      ? contiguousOp(this)
      : contiguousOp(this, { memory_format: options.memoryFormat });
  }

  isFloatingPoint(): boolean {
    return isFloatingDType(this.dtype);
  }

  /**
   * The value of a tensor of one element: a number, a boolean, or a bigint beyond 2^53. A device tensor makes
   * the host wait.
   */
  item(): number | boolean | bigint {
    return native().item(this.handle);
  }

  /** All elements in row-major order, as a copy on the host: float32 for fp16 and bf16, bigint for int64. */
  toTypedArray(): TypedArray {
    return native().toTyped(this.handle);
  }

  /** Nested arrays of numbers (booleans for bool; bigints only for int64 values beyond 2^53). */
  async toArray(): Promise<NestedValues> {
    return this.toNested();
  }

  private toNested(): NestedValues {
    const isBool = this.dtype === 'bool';
    const values = Array.from(this.toTypedArray() as Iterable<number | bigint>, (value) =>
      isBool ? value !== 0 : plainNumber(value),
    );
    const shape = this.shape;
    if (shape.length === 0) return values[0]!;
    let level: NestedValues[] = values;
    for (let dim = shape.length - 1; dim > 0; dim--) {
      const size = shape[dim]!;
      const rows = shape.slice(0, dim).reduce((product, n) => product * n, 1);
      level = Array.from({ length: rows }, (_, row) => level.slice(row * size, (row + 1) * size));
    }
    return level;
  }

  /**
   * x[index], for example `x.at(0, slice(1, 3), null, ellipsis, mask)`. Integers, slices, null and ellipsis
   * give a view; index tensors, lists and masks a copy.
   */
  at(...index: IndexElement[]): Tensor {
    return readIndex(this, index);
  }

  /** x[index] = value, in place and with broadcast; returns this tensor. */
  put(index: readonly IndexElement[], value: Tensor | number | boolean): this {
    writeIndex(this, index, value);
    return this;
  }

  override toString(): string {
    return formatTensor(this);
  }

  [inspect.custom](): string {
    return this.toString();
  }

  get [Symbol.toStringTag](): string {
    return 'Tensor';
  }
}

const plainNumber = (value: number | bigint): number | bigint => {
  if (typeof value === 'number') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

setTensorClass(Tensor satisfies new (handle: Handle) => Tensor);
