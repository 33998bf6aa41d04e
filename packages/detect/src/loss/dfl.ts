import { scope, type Tensor } from '@mezzo/torch';

/**
 * Distribution focal loss (Li et al. 2020): cross-entropy of each side's bins against the two bins next to the
 * target distance, weighted by closeness, mean over the sides.
 *
 * The two weights are the value of a hat of width 1 around the target at every bin, so that no gather is needed.
 * @param logits [..., 4, R]
 * @param distances [..., 4] in cells, within 0 … R - 1
 * @param bins [R] 0 … R-1
 * @returns [...]
 */
export function distributionFocalLoss(logits: Tensor, distances: Tensor, bins: Tensor): Tensor {
  return scope(() => {
    const hat = bins.sub(distances.unsqueeze(-1)).abs_().neg_().add_(1).clampMin_(0);
    return logits.logSoftmax(-1).mul(hat).sum(-1).neg().mean(-1);
  });
}
