import type { Tensor } from '@mezzo/torch';

/** Brings two tensors whose ranks differ by one to the same rank, as Keras does: a last axis of 1 comes or goes. */
export function sameRank(a: Tensor, b: Tensor): [Tensor, Tensor] {
  if (a.ndim === b.ndim + 1 && a.size(-1) === 1) {
    return b.ndim === 1 ? [a, b.unsqueeze(-1)] : [a.squeeze(-1), b];
  }
  if (b.ndim === a.ndim + 1 && b.size(-1) === 1) {
    return a.ndim === 1 ? [a.unsqueeze(-1), b] : [a, b.squeeze(-1)];
  }
  return [a, b];
}
