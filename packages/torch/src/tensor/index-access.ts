import { TorchError } from '@mezzo/libtorch';
import { op } from '../ops/call.ts';
import { describe } from '../ops/schema.ts';
import { tensor as makeTensor, scalarTensor } from './creation.ts';
import { TensorHandle } from './handle.ts';
import type { Tensor } from './tensor.ts';

/** Python's `start:stop:step`; null or undefined leaves a bound open. */
export class Slice {
  readonly start: number | null;
  readonly stop: number | null;
  readonly step: number;

  constructor(start: number | null, stop: number | null, step: number) {
    this.start = start;
    this.stop = stop;
    this.step = step;
  }
}

/** `slice()` is `:`, `slice(1, 3)` is `1:3`, `slice(null, null, 2)` is `::2`. */
export const slice = (start: number | null = null, stop: number | null = null, step = 1): Slice =>
  new Slice(start, stop, step);

/** Python's `...`: as many full slices as are missing. */
export const ellipsis: unique symbol = Symbol('ellipsis');

/**
 * One element of an index: an integer picks and drops a dimension, a Slice keeps a range, null adds a
 * dimension, `ellipsis` skips dimensions, a boolean tensor masks, an integer tensor (or list) gathers.
 */
export type IndexElement = number | Slice | null | typeof ellipsis | Tensor | readonly number[] | boolean;

const selectOp = op('aten::select');
const sliceOp = op('aten::slice');
const unsqueezeOp = op('aten::unsqueeze');
const indexOp = op('aten::index', 'Tensor');
const indexPut_ = op('aten::index_put_');
const aliasOp = op('aten::alias');
const copy_ = op('aten::copy_');

/** x[index]: a view when only integers, slices, null and ellipsis occur, else a copy (as in PyTorch). */
export function readIndex(tensor: TensorHandle, index: readonly IndexElement[]): Tensor {
  const { view, gathered } = applyIndex(tensor, index);
  if (gathered.length > 0) return indexOp(view, gathered);
  return view === tensor ? aliasOp(tensor) : (view as Tensor);
}

/** x[index] = value, with broadcast. */
export function writeIndex(
  tensor: TensorHandle,
  index: readonly IndexElement[],
  value: Tensor | number | boolean,
): void {
  const { view, gathered } = applyIndex(tensor, index);
  const source = value instanceof TensorHandle ? value : scalarTensor(value, view.dtype, view.device);
  if (gathered.length > 0) indexPut_(view, gathered, source);
  else copy_(view, source);
}

interface Applied {
  readonly view: TensorHandle;
  /** Index tensors by dimension of `view`; empty when there are none. */
  readonly gathered: (Tensor | null)[];
}

function applyIndex(tensor: TensorHandle, index: readonly IndexElement[]): Applied {
  let view: TensorHandle = tensor;
  const gathered: (Tensor | null)[] = [];
  let dim = 0;
  let masked = 0; // dimensions that masks cover beyond the one entry each has in `gathered`
  for (const [position, element] of index.entries()) {
    if (element === ellipsis) {
      dim += tensor.ndim - consumed(index);
    } else if (element === null) {
      view = unsqueezeOp(view, dim++);
    } else if (typeof element === 'number') {
      view = selectOp(view, dim, element);
    } else if (element instanceof Slice) {
      view = sliceOp(view, dim++, element.start, element.stop, element.step);
    } else {
      let selector = asSelector(element, position, view.device);
      const mask = selector.dtype === 'bool';
      if (mask && selector.ndim === 0) {
        view = unsqueezeOp(view, dim);
        selector = selector.unsqueeze(0);
      }
      gathered[dim - masked] = selector;
      const covered = mask ? selector.ndim : 1;
      dim += covered;
      masked += covered - 1;
    }
  }
  return { view, gathered: Array.from(gathered, (selector) => selector ?? null) };
}

/** How many dimensions of the tensor the index speaks for. */
function consumed(index: readonly IndexElement[]): number {
  let count = 0;
  let ellipses = 0;
  for (const element of index) {
    if (element === ellipsis) ellipses++;
    else if (element instanceof TensorHandle) count += element.dtype === 'bool' ? element.ndim : 1;
    else if (element !== null && typeof element !== 'boolean') count++;
  }
  if (ellipses > 1) throw new TorchError('INDEX', 'an index can only have a single ellipsis');
  return count;
}

function asSelector(element: unknown, position: number, device: string): Tensor {
  if (element instanceof TensorHandle) return element as Tensor;
  if (typeof element === 'boolean') return makeTensor(element, { device });
  if (Array.isArray(element) && element.every(Number.isInteger)) {
    return makeTensor(element as number[], { dtype: 'int64', device });
  }
  throw new TorchError(
    'INDEX',
    `element ${position} of the index is ${describe(element)}; ` +
      'integers, slice(), null, ellipsis, booleans, tensors and lists of integers can index a tensor',
  );
}
