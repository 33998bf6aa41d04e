import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';

export interface AttentionOptions {
  /** Boolean: where attention is allowed; else added to the scores. */
  attnMask?: Tensor | null;
  dropoutP?: number;
  isCausal?: boolean;
  /** Default 1 / sqrt(E). */
  scale?: number | null;
  enableGqa?: boolean;
}

const attentionOp = op('aten::scaled_dot_product_attention');
const oneHotOp = op('aten::one_hot');

/** softmax(query @ keyᵀ · scale) @ value; [N, …, L, E], [N, …, S, E], [N, …, S, Ev]. */
export const scaledDotProductAttention = (
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: AttentionOptions = {},
): Tensor =>
  attentionOp(query, key, value, options.attnMask ?? null, options.dropoutP ?? 0, options.isCausal ?? false, {
    scale: options.scale ?? null,
    enable_gqa: options.enableGqa ?? false,
  });

/** Class indices (int64) as rows of zeros and a one. */
export const oneHot = (indices: Tensor, classes = -1): Tensor => oneHotOp(indices, classes);
