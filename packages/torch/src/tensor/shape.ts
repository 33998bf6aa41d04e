import { op } from '../ops/call.ts';
import { TensorReduce } from './reduce.ts';
import type { Tensor } from './tensor.ts';

/** Sizes as separate numbers or as one list: `x.view(2, -1)` or `x.view([2, -1])`. */
export type Sizes = readonly number[] | readonly [readonly number[]];

const view = op('aten::view');
const reshape = op('aten::reshape');
const permute = op('aten::permute');
const transpose = op('aten::transpose');
const t = op('aten::t');
const unsqueeze = op('aten::unsqueeze');
const unsqueeze_ = op('aten::unsqueeze_');
const squeeze = op('aten::squeeze');
const squeeze_ = op('aten::squeeze_');
const flatten = op('aten::flatten', 'using_ints');
const unflatten = op('aten::unflatten', 'int');
const expand = op('aten::expand');
const repeat = op('aten::repeat');
const repeatInterleave = op('aten::repeat_interleave');
const split = op<(...args: unknown[]) => Tensor[]>('aten::split');
const chunk = op<(...args: unknown[]) => Tensor[]>('aten::chunk');
const unbind = op<(...args: unknown[]) => Tensor[]>('aten::unbind');
const narrow = op('aten::narrow');
const select = op('aten::select');
const flip = op('aten::flip');
const roll = op('aten::roll');
const diagonal = op('aten::diagonal');
const tril = op('aten::tril');
const triu = op('aten::triu');
const indexSelect = op('aten::index_select');
const indexAdd_ = op('aten::index_add_');
const indexCopy_ = op('aten::index_copy_');
const gather = op('aten::gather');
const scatter = op('aten::scatter');
const scatter_ = op('aten::scatter_');
const scatterAdd = op('aten::scatter_add');
const scatterAdd_ = op('aten::scatter_add_');
const where = op('aten::where');
const maskedFill = op('aten::masked_fill');
const maskedFill_ = op('aten::masked_fill_');
const maskedSelect = op('aten::masked_select');
const maskedScatter = op('aten::masked_scatter');
const nonzero = op('aten::nonzero');
const asStrided = op('aten::as_strided');
const take = op('aten::take');

const sizeList = (sizes: Sizes): readonly number[] =>
  Array.isArray(sizes[0]) ? (sizes[0] as readonly number[]) : (sizes as readonly number[]);

/** Views, rearrangement, selection and scattering. Views share memory with their tensor. */
export abstract class TensorShape extends TensorReduce {
  /** Same elements under other sizes, without a copy; -1 stands for the size that is left. */
  view(...sizes: Sizes): Tensor {
    return view(this, sizeList(sizes));
  }

  /** Like `view`, with a copy where the strides demand it. */
  reshape(...sizes: Sizes): Tensor {
    return reshape(this, sizeList(sizes));
  }

  permute(...dims: Sizes): Tensor {
    return permute(this, sizeList(dims));
  }

  transpose(dim0: number, dim1: number): Tensor {
    return transpose(this, dim0, dim1);
  }

  /** Transpose of a matrix. */
  t(): Tensor {
    return t(this);
  }

  unsqueeze(dim: number): Tensor {
    return unsqueeze(this, dim);
  }

  unsqueeze_(dim: number): Tensor {
    return unsqueeze_(this, dim);
  }

  /** Drops dimensions of size 1: all of them, or those named. */
  squeeze(dim?: number | readonly number[]): Tensor {
    return squeeze(this, dim);
  }

  squeeze_(dim?: number | readonly number[]): Tensor {
    return squeeze_(this, dim);
  }

  flatten(startDim = 0, endDim = -1): Tensor {
    return flatten(this, startDim, endDim);
  }

  unflatten(dim: number, sizes: readonly number[]): Tensor {
    return unflatten(this, dim, sizes);
  }

  /** Repeats dimensions of size 1 without memory; -1 leaves a dimension as it is. */
  expand(...sizes: Sizes): Tensor {
    return expand(this, sizeList(sizes));
  }

  expandAs(other: Tensor): Tensor {
    return expand(this, other.shape);
  }

  viewAs(other: Tensor): Tensor {
    return view(this, other.shape);
  }

  /** Tiles the tensor (with a copy). */
  repeat(...repeats: Sizes): Tensor {
    return repeat(this, sizeList(repeats));
  }

  repeatInterleave(repeats: number | Tensor, dim: number | null = null): Tensor {
    return repeatInterleave(this, repeats, dim);
  }

  /** Pieces of `size` elements (the last may be smaller), or of the sizes listed. */
  split(size: number | readonly number[], dim = 0): Tensor[] {
    return split(this, size, dim);
  }

  /** At most `chunks` pieces of equal size. */
  chunk(chunks: number, dim = 0): Tensor[] {
    return chunk(this, chunks, dim);
  }

  unbind(dim = 0): Tensor[] {
    return unbind(this, dim);
  }

  narrow(dim: number, start: number, length: number): Tensor {
    return narrow(this, dim, start, length);
  }

  select(dim: number, index: number): Tensor {
    return select(this, dim, index);
  }

  flip(...dims: Sizes): Tensor {
    return flip(this, sizeList(dims));
  }

  roll(shifts: number | readonly number[], dims: number | readonly number[] = []): Tensor {
    return roll(this, shifts, dims);
  }

  diagonal(offset = 0, dim1 = 0, dim2 = 1): Tensor {
    return diagonal(this, offset, dim1, dim2);
  }

  tril(diagonalOffset = 0): Tensor {
    return tril(this, diagonalOffset);
  }

  triu(diagonalOffset = 0): Tensor {
    return triu(this, diagonalOffset);
  }

  indexSelect(dim: number, index: Tensor): Tensor {
    return indexSelect(this, dim, index);
  }

  indexAdd_(dim: number, index: Tensor, source: Tensor, options?: { alpha?: number }): Tensor {
    return indexAdd_(this, dim, index, source, options);
  }

  indexCopy_(dim: number, index: Tensor, source: Tensor): Tensor {
    return indexCopy_(this, dim, index, source);
  }

  gather(dim: number, index: Tensor): Tensor {
    return gather(this, dim, index);
  }

  scatter(dim: number, index: Tensor, source: Tensor | number): Tensor {
    return scatter(this, dim, index, source);
  }

  scatter_(dim: number, index: Tensor, source: Tensor | number): Tensor {
    return scatter_(this, dim, index, source);
  }

  scatterAdd(dim: number, index: Tensor, source: Tensor): Tensor {
    return scatterAdd(this, dim, index, source);
  }

  scatterAdd_(dim: number, index: Tensor, source: Tensor): Tensor {
    return scatterAdd_(this, dim, index, source);
  }

  /** This tensor where `condition` holds, else `other`. */
  where(condition: Tensor, other: Tensor | number): Tensor {
    return where(condition, this, other);
  }

  maskedFill(mask: Tensor, value: Tensor | number | boolean): Tensor {
    return maskedFill(this, mask, value);
  }

  maskedFill_(mask: Tensor, value: Tensor | number | boolean): Tensor {
    return maskedFill_(this, mask, value);
  }

  maskedSelect(mask: Tensor): Tensor {
    return maskedSelect(this, mask);
  }

  maskedScatter(mask: Tensor, source: Tensor): Tensor {
    return maskedScatter(this, mask, source);
  }

  /** Coordinates of the elements that are not zero, one row each. A device tensor makes the host wait. */
  nonzero(): Tensor {
    return nonzero(this);
  }

  take(index: Tensor): Tensor {
    return take(this, index);
  }

  asStrided(size: readonly number[], stride: readonly number[], storageOffset?: number): Tensor {
    return asStrided(this, size, stride, storageOffset);
  }
}
