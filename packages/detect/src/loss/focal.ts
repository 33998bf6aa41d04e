import { nn, scope, type Tensor } from '@mezzo/torch';

export interface FocalOptions {
  /** Weight of targets 1; targets 0 weigh 1 - alpha. Default 0.25; null weighs both alike. */
  alpha?: number | null;
  /** How fast the weight of well-classified examples falls; default 2, 0 is plain cross-entropy. */
  gamma?: number;
}

/**
 * Focal loss of independent binary decisions (Lin et al. 2017), element by element and in fp32: cross-entropy times
 * (1 - p)^gamma, p being the probability given to the truth. Thousands of easy background anchors weigh next to
 * nothing.
 * @param logits any shape
 * @param targets 0 or 1, of the same shape
 */
export function sigmoidFocalLoss(logits: Tensor, targets: Tensor, options: FocalOptions = {}): Tensor {
  const { alpha = 0.25, gamma = 2 } = options;
  return scope(() => {
    const [x, t] = [logits.float(), targets.float()];
    const entropy = nn.functional.binaryCrossEntropyWithLogits(x, t, { reduction: 'none' });
    const missed = x.sigmoid().sub(t).abs(); // 1 - p for targets 0 and 1
    const focal = entropy.mul(missed.pow(gamma));
    return alpha === null ? focal : focal.mul(t.mul(2 * alpha - 1).add(1 - alpha));
  });
}
