import { op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';

const cosineSimilarityOp = op('aten::cosine_similarity');
const pairwiseDistanceOp = op('aten::pairwise_distance');
const pdistOp = op('aten::pdist');

/** Cosine of the angle between vectors along `dim`. */
export const cosineSimilarity = (a: Tensor, b: Tensor, dim = 1, eps = 1e-8): Tensor =>
  cosineSimilarityOp(a, b, dim, eps);

/** p-norm of a - b + eps along the last dimension. */
export const pairwiseDistance = (
  a: Tensor,
  b: Tensor,
  options: { p?: number; eps?: number; keepdim?: boolean } = {},
): Tensor => pairwiseDistanceOp(a, b, options.p ?? 2, options.eps ?? 1e-6, options.keepdim ?? false);

/** p-norm distances of all pairs of rows: [N, D] → [N·(N-1)/2]. */
export const pdist = (input: Tensor, p = 2): Tensor => pdistOp(input, p);
