import { type DType, type Handle, native } from '@mezzo/libtorch';

/**
 * The identity of a tensor: a number that names a slot of the native table. What a tensor is (shape, dtype,
 * device) is always asked of LibTorch, never remembered here, because in-place calls may change it.
 */
export abstract class TensorHandle {
  readonly handle: Handle;
  /** @internal True once the garbage collector, and no scope, decides when the tensor is freed. */
  tracked: boolean;

  constructor(handle: Handle) {
    this.handle = handle;
    this.tracked = false;
  }

  /** Sizes, outermost dimension first; [] for a scalar. */
  get shape(): number[] {
    return native().shape(this.handle);
  }

  get ndim(): number {
    return native().shape(this.handle).length;
  }

  get dtype(): DType {
    return native().dtype(this.handle);
  }

  /** 'cpu' or 'cuda:0'. */
  get device(): string {
    return native().device(this.handle);
  }

  /** Size of one dimension; negative counts from the end. */
  size(dim: number): number {
    const shape = this.shape;
    const size = shape[dim < 0 ? dim + shape.length : dim];
    if (size === undefined) {
      throw new RangeError(
        `size: dimension ${dim} is out of range for a tensor of ${shape.length} dimensions`,
      );
    }
    return size;
  }

  /** Number of elements. */
  numel(): number {
    return native().numel(this.handle);
  }

  /** Steps between neighbours along each dimension, in elements. */
  stride(): number[] {
    return native().strides(this.handle);
  }

  storageOffset(): number {
    return native().storageOffset(this.handle);
  }

  /** Bytes per element. */
  get itemsize(): number {
    return native().itemsize(this.handle);
  }

  isContiguous(memoryFormat: 'contiguous' | 'channels_last' | 'channels_last_3d' = 'contiguous'): boolean {
    return native().isContiguous(this.handle, memoryFormat);
  }

  /** True when it lies in page-locked host memory. */
  isPinned(): boolean {
    return native().isPinned(this.handle);
  }

  /** Counts in-place changes; autograd compares it with the count at the time it saved the tensor. */
  get version(): number {
    return native().version(this.handle);
  }

  /** True when both are the very same LibTorch tensor (not merely equal values). */
  isSame(other: TensorHandle): boolean {
    return native().sameTensor(this.handle, other.handle);
  }

  /** True when both read the same memory (one is a view of the other). */
  sharesStorage(other: TensorHandle): boolean {
    return native().storageKey(this.handle) === native().storageKey(other.handle);
  }

  /** Frees the tensor now. Later use of this object is an error; a second dispose does nothing. */
  dispose(): void {
    native().free(this.handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
