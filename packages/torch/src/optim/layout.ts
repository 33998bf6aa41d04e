import { native } from '@mezzo/libtorch';
import type { Tensor } from '../tensor/tensor.ts';

/**
 * LibTorch's fused optimizer kernels walk parameter, gradient and state as flat memory and never look at
 * strides: a channels_last parameter beside a contiguous gradient is silently updated with the wrong
 * elements. So equal strides are checked before every fused call.
 */

/** The quick answer for whole lists: one native call a list. A false may be too strict; ask tensor by tensor. */
export function sameFlatLayouts(lists: readonly (readonly Tensor[])[]): boolean {
  const [params, ...others] = lists as [readonly Tensor[], ...(readonly Tensor[])[]];
  const expected = handles(params);
  return (
    others.every((list) => native().sameStrides(expected, handles(list))) &&
    params.every((param) => param.isContiguous() || param.isContiguous('channels_last'))
  );
}

const handles = (tensors: readonly Tensor[]) => Float64Array.from(tensors, ({ handle }) => handle);

/** True when all tensors, of one shape, have each element at the same offset and no gaps between elements. */
export function sameFlatLayout(tensors: readonly Tensor[]): boolean {
  const first = tensors[0]!;
  const shape = first.shape;
  const strides = first.stride();
  return (
    isDense(shape, strides) &&
    tensors.every((other, i) => i === 0 || sameStrides(shape, strides, other.stride()))
  );
}

/** Strides of dimensions of size 1 are never walked and may differ. */
function sameStrides(shape: readonly number[], a: readonly number[], b: readonly number[]): boolean {
  for (let d = 0; d < shape.length; d++) if (shape[d] !== 1 && a[d] !== b[d]) return false;
  return true;
}

/** No gaps and no overlaps: in some order of the dimensions each stride is the number of elements below. */
function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  const walked = [];
  for (let d = 0; d < shape.length; d++) if (shape[d] !== 1) walked.push(d);
  walked.sort((a, b) => strides[a]! - strides[b]!);
  let expected = 1;
  for (const d of walked) {
    if (shape[d] === 0) return true;
    if (strides[d] !== expected) return false;
    expected *= shape[d]!;
  }
  return true;
}
