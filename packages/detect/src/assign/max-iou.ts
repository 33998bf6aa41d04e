import { noGrad, scope, type Tensor } from '@mezzo/torch';
import { pairwiseIou } from '../loss/iou.ts';

// Shapes: B batch, A anchor boxes, G boxes of the image that has most.

export interface MaxIouOptions {
  /** An anchor that overlaps a box at least so much learns it; default 0.5. */
  positive?: number;
  /** An anchor that overlaps every box less than this learns that nothing is there; default 0.4. */
  negative?: number;
  /** The anchors that overlap a box most learn, however little that is, so that no box is lost; default true. */
  keepBest?: boolean;
}

/** What each anchor of each image learns: a box and its class, or that nothing is there, or nothing at all. */
export interface AnchorTargets {
  /** [B, A] bool: learns `boxes` and `classes`. */
  readonly positive: Tensor;
  /** [B, A] bool: between the thresholds, and left out of the loss. */
  readonly ignored: Tensor;
  /** [B, A, 4] the box that overlaps the anchor most; where the anchor learns none, the anchor itself. */
  readonly boxes: Tensor;
  /** [B, A] class of that box, in the dtype of the classes; without meaning where the anchor learns none. */
  readonly classes: Tensor;
}

/**
 * Assignment by overlap alone, whatever the network predicts (Ren et al. 2015; thresholds of Lin et al. 2017). Dense
 * tensors throughout: nothing is read back to the host.
 */
export class MaxIouAssigner {
  readonly positive: number;
  readonly negative: number;
  readonly keepBest: boolean;

  constructor(options: MaxIouOptions = {}) {
    this.positive = options.positive ?? 0.5;
    this.negative = options.negative ?? 0.4;
    this.keepBest = options.keepBest ?? true;
  }

  /**
   * @param anchors [A, 4] corners
   * @param boxes [B, G, 4] corners in the same unit; rows of zeros fill up images that have fewer than G
   * @param classes [B, G], any number for such rows
   */
  assign(anchors: Tensor, boxes: Tensor, classes: Tensor): AnchorTargets {
    return scope(() =>
      noGrad(() => {
        const overlap = pairwiseIou(anchors.unsqueeze(1), boxes.unsqueeze(1)); // [B, A, G]
        const [most, box] = overlap.max(2);
        const isBest = overlap.eq(overlap.amax(1, true)).logicalAnd(overlap.gt(0)).any(2);
        const enough = most.ge(this.positive);
        const positive = this.keepBest ? enough.logicalOr(isBest) : enough;
        const nearest = boxes.gather(1, box.unsqueeze(-1).expand(-1, -1, 4));
        return {
          positive,
          ignored: most.ge(this.negative).logicalAnd(positive.logicalNot()),
          boxes: nearest.where(positive.unsqueeze(-1), anchors),
          classes: classes.gather(1, box),
        };
      }),
    );
  }
}
