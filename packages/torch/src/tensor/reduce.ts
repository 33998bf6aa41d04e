import { op } from '../ops/call.ts';
import type { DType } from './dtype.ts';
import { TensorPointwise } from './pointwise.ts';
import type { Tensor } from './tensor.ts';

/** One dimension or several; negative counts from the end. */
export type Dims = number | readonly number[];

export interface ReduceOptions {
  /** Leave the reduced dimensions in place with size 1. */
  keepdim?: boolean;
  /** Convert to it first. */
  dtype?: DType;
}

export interface SpreadOptions {
  keepdim?: boolean;
  /** Degrees of freedom taken off the count; 1 gives the unbiased estimate. */
  correction?: number;
}

type Keepdim = boolean | { keepdim?: boolean };
type Pair = [values: Tensor, indices: Tensor];

const sum = op('aten::sum');
const mean = op('aten::mean');
const prod = op('aten::prod');
const amax = op('aten::amax');
const amin = op('aten::amin');
const max = op<(...args: unknown[]) => Tensor | Pair>('aten::max');
const min = op<(...args: unknown[]) => Tensor | Pair>('aten::min');
const argmax = op('aten::argmax');
const argmin = op('aten::argmin');
const all = op('aten::all');
const any = op('aten::any');
const vectorNorm = op('aten::linalg_vector_norm');
const std = op('aten::std', 'correction');
const variance = op('aten::var', 'correction');
const median = op<(...args: unknown[]) => Tensor | Pair>('aten::median');
const logsumexp = op('aten::logsumexp');
const cumsum = op('aten::cumsum');
const cumprod = op('aten::cumprod');
const sort = op<(...args: unknown[]) => Pair>('aten::sort');
const argsort = op('aten::argsort');
const topk = op<(...args: unknown[]) => Pair>('aten::topk');
const unique = op<(...args: unknown[]) => [Tensor, Tensor, Tensor]>('aten::_unique2');
const bincount = op('aten::bincount');
const countNonzero = op('aten::count_nonzero');

const dimList = (dim: Dims | undefined) => (typeof dim === 'number' ? [dim] : dim);

/** Sums, extremes, order statistics and scans. */
export abstract class TensorReduce extends TensorPointwise {
  /** Sum of all elements, or over `dim`. */
  sum(dim?: Dims | ReduceOptions, keepdim?: boolean | ReduceOptions, options?: ReduceOptions): Tensor {
    return dim === undefined ? sum(this) : sum(this, dim, keepdim, options);
  }

  /** Mean of all elements, or over `dim`. */
  mean(dim?: Dims | ReduceOptions, keepdim?: boolean | ReduceOptions, options?: ReduceOptions): Tensor {
    return dim === undefined ? mean(this) : mean(this, dim, keepdim, options);
  }

  prod(dim?: number | ReduceOptions, keepdim?: boolean | ReduceOptions, options?: ReduceOptions): Tensor {
    return dim === undefined ? prod(this) : prod(this, dim, keepdim, options);
  }

  /** Largest value over `dim` (all of them by default); ties share the gradient. */
  amax(dim: Dims = [], keepdim?: Keepdim): Tensor {
    return amax(this, dim, keepdim);
  }

  amin(dim: Dims = [], keepdim?: Keepdim): Tensor {
    return amin(this, dim, keepdim);
  }

  /** Largest element; with a dimension [values, indices]; with a tensor the larger of each pair. */
  max(): Tensor;
  max(other: Tensor): Tensor;
  max(dim: number, keepdim?: Keepdim): Pair;
  max(dim?: number | Tensor, keepdim?: Keepdim): Tensor | Pair {
    return max(this, dim, keepdim);
  }

  min(): Tensor;
  min(other: Tensor): Tensor;
  min(dim: number, keepdim?: Keepdim): Pair;
  min(dim?: number | Tensor, keepdim?: Keepdim): Tensor | Pair {
    return min(this, dim, keepdim);
  }

  argmax(dim?: number | null, keepdim?: Keepdim): Tensor {
    return argmax(this, dim, keepdim);
  }

  argmin(dim?: number | null, keepdim?: Keepdim): Tensor {
    return argmin(this, dim, keepdim);
  }

  all(dim?: Dims, keepdim?: Keepdim): Tensor {
    return all(this, dim, keepdim);
  }

  any(dim?: Dims, keepdim?: Keepdim): Tensor {
    return any(this, dim, keepdim);
  }

  /** The p-norm of all elements, or over `dim` (torch.linalg.vector_norm; p = 2 by default). */
  norm(p = 2, dim: Dims | null = null, keepdim?: Keepdim): Tensor {
    return vectorNorm(this, p, dim, keepdim);
  }

  std(dim?: Dims | null, options?: SpreadOptions): Tensor {
    return std(this, dimList(dim ?? undefined), options);
  }

  var(dim?: Dims | null, options?: SpreadOptions): Tensor {
    return variance(this, dimList(dim ?? undefined), options);
  }

  /** The lower median; with a dimension [values, indices]. */
  median(): Tensor;
  median(dim: number, keepdim?: Keepdim): Pair;
  median(dim?: number, keepdim?: Keepdim): Tensor | Pair {
    return median(this, dim, keepdim);
  }

  logsumexp(dim: Dims, keepdim?: Keepdim): Tensor {
    return logsumexp(this, dim, keepdim);
  }

  cumsum(dim: number, options?: { dtype?: DType }): Tensor {
    return cumsum(this, dim, options);
  }

  cumprod(dim: number, options?: { dtype?: DType }): Tensor {
    return cumprod(this, dim, options);
  }

  /** [values, indices]; `stable` keeps equal elements in their order. */
  sort(dim = -1, options: { descending?: boolean; stable?: boolean } = {}): Pair {
    return sort(this, { stable: options.stable ?? false, dim, descending: options.descending ?? false });
  }

  argsort(dim = -1, options: { descending?: boolean; stable?: boolean } = {}): Tensor {
    return argsort(this, { stable: options.stable ?? false, dim, descending: options.descending ?? false });
  }

  /** The k largest (or smallest) along `dim`: [values, indices]. */
  topk(k: number, dim = -1, options: { largest?: boolean; sorted?: boolean } = {}): Pair {
    return topk(this, k, dim, options.largest ?? true, options.sorted ?? true);
  }

  /** The distinct elements in order: [values, inverse indices, counts]. */
  unique(): [values: Tensor, inverse: Tensor, counts: Tensor] {
    return unique(this, true, true, true);
  }

  /** How often each of 0 … max occurs in a tensor of non-negative integers. */
  bincount(weights: Tensor | null = null, minlength = 0): Tensor {
    return bincount(this, weights, minlength);
  }

  countNonzero(dim?: Dims): Tensor {
    return countNonzero(this, dim);
  }
}
