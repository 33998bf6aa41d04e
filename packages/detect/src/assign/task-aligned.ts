import { arange, full, noGrad, ops, scalarTensor, scope, type Tensor, zeros } from '@mezzo/torch';
import { pairwiseIou } from '../loss/iou.ts';
import type { Level } from '../models/anchors.ts';
import { upload } from '../models/upload.ts';
import { type CentreRule, enumerateCandidates, type Targets } from './candidates.ts';

// Shapes: B batch, A anchors, C classes, N targets of the whole batch, P candidate pairs (a target and an anchor
// inside it), S slots = N x k: the k best candidates of each target. Anchors are numbered b·A + a.

export interface TaskAlignedOptions {
  /** Candidates that a target may take; default 10. */
  topk?: number;
  /** Exponents of score and overlap in the alignment score^alpha · overlap^beta; defaults 0.5 and 6. */
  alpha?: number;
  beta?: number;
  eps?: number;
  /** Default `inflate16`. */
  centreRule?: CentreRule;
}

/**
 * Which anchors learn which target. A slot counts when `used` is 1; unused slots hold a valid anchor and
 * target, too, so that dense arithmetic with weight 0 needs no selection (and the host no look at the result).
 * Every anchor is used by at most one slot.
 */
export interface Assignment {
  /** [S] int64, b·A + a. */
  readonly anchor: Tensor;
  /** [S] int64, row of the targets. */
  readonly target: Tensor;
  /** [S] int64, index of the target's class at the anchor in the flattened [B, A, C]. */
  readonly score: Tensor;
  /** [S] fp32: 1 where the slot counts, else 0. */
  readonly used: Tensor;
  /** [S] fp32 target score of the class in 0 … 1, 0 where the slot is unused. */
  readonly weight: Tensor;
}

/**
 * Task-aligned assignment (TOOD, Feng et al. 2021): each target takes the k anchors inside it that predict its
 * class and its box best; an anchor wanted by several targets goes to the one it overlaps most.
 */
export class TaskAlignedAssigner {
  readonly topk: number;
  readonly alpha: number;
  readonly beta: number;
  readonly eps: number;
  readonly centreRule: CentreRule;

  constructor(options: TaskAlignedOptions = {}) {
    this.topk = options.topk ?? 10;
    this.alpha = options.alpha ?? 0.5;
    this.beta = options.beta ?? 6;
    this.eps = options.eps ?? 1e-9;
    this.centreRule = options.centreRule ?? 'inflate16';
  }

  /**
   * @param logits [B, A, C] fp32 class logits
   * @param boxes [B, A, 4] fp32 predicted corners in pixels
   * @param targetBoxes [N, 4] fp32, the targets' boxes on the same device
   * @returns null when no target holds an anchor centre: all anchors are background
   */
  assign(
    logits: Tensor,
    boxes: Tensor,
    targetBoxes: Tensor,
    targets: Targets,
    levels: readonly Level[],
  ): Assignment | null {
    const [batch, anchors, classes] = logits.shape as [number, number, number];
    const candidates = enumerateCandidates(targets, levels, this.centreRule);
    if (candidates.count === 0) return null;
    const { device } = logits;
    return scope(() =>
      noGrad(() => {
        const pairs = upload(candidates.pairs, [4, candidates.count], { dtype: 'int64', device });
        const starts = upload(candidates.starts, [targets.count, 1], { dtype: 'int64', device });
        const [anchorP, targetP, placeP, classP] = pairs.unbind(0) as [Tensor, Tensor, Tensor, Tensor];
        const scoreP = anchorP.mul(classes).add_(classP);

        const overlapP = pairwiseIou(
          targetBoxes.indexSelect(0, targetP),
          boxes.flatten(0, 1).indexSelect(0, anchorP),
          'ciou',
        ).clampMin(0);
        const probabilityP = logits.flatten().indexSelect(0, scoreP).sigmoid();
        const alignmentP = probabilityP.pow(this.alpha).mul_(overlapP.pow(this.beta));

        const table = zeros([targets.count * candidates.widest], { device }).indexCopy_(
          0,
          placeP,
          alignmentP,
        );
        const k = Math.min(this.topk, candidates.widest);
        const [best, place] = table.view([targets.count, candidates.widest]).topk(k, 1, { sorted: false });
        // An empty place of a short row has value 0 and would point past the row: it is clamped, and unused.
        const pairS = starts
          .add(place)
          .clampMax(candidates.count - 1)
          .flatten();
        const positiveS = best.gt(0).flatten();
        const anchorS = anchorP.indexSelect(0, pairS);

        const claims = zeros([batch * anchors], { device }).indexAdd_(0, anchorS, positiveS.float());
        const pairOfMostOverlap = this.mostOverlapping(anchorP, overlapP, batch * anchors);
        const contestedS = claims.indexSelect(0, anchorS).gt(1);
        const finalS = pairS.where(contestedS.logicalNot(), pairOfMostOverlap.indexSelect(0, anchorS));
        const usedS = positiveS.logicalAnd(firstOfEach(anchorS, positiveS, batch * anchors)).float();

        const target = targetP.indexSelect(0, finalS);
        const alignmentS = alignmentP.indexSelect(0, finalS).mul_(usedS);
        const overlapS = overlapP.indexSelect(0, finalS).mul_(usedS);
        const maxOf = (valueS: Tensor) =>
          reduceInto(zeros([targets.count], { device }), target, valueS, 'amax').indexSelect(0, target);
        const weight = alignmentS.mul(maxOf(overlapS)).div_(maxOf(alignmentS).add_(this.eps));
        return { anchor: anchorS, target, score: scoreP.indexSelect(0, finalS), used: usedS, weight };
      }),
    );
  }

  /** For each anchor the candidate pair of largest overlap; of equal ones, the first target's. */
  private mostOverlapping(anchorP: Tensor, overlapP: Tensor, anchors: number): Tensor {
    const { device } = overlapP;
    const count = overlapP.numel();
    const largest = reduceInto(zeros([anchors], { device }), anchorP, overlapP, 'amax');
    const isLargest = overlapP.eq(largest.indexSelect(0, anchorP));
    const index = arange(count, { device }).where(isLargest, scalarTensor(count - 1, 'int64', device));
    return reduceInto(full([anchors], count - 1, { dtype: 'int64', device }), anchorP, index, 'amin');
  }
}

/** True for one of the positive slots of each anchor, whatever the order in which the device visits them. */
function firstOfEach(anchorS: Tensor, positiveS: Tensor, anchors: number): Tensor {
  const { device } = anchorS;
  const count = anchorS.numel();
  const slot = arange(count, { device });
  const candidate = slot.where(positiveS, scalarTensor(count, 'int64', device));
  const first = reduceInto(full([anchors], count, { dtype: 'int64', device }), anchorS, candidate, 'amin');
  return first.indexSelect(0, anchorS).eq(slot);
}

/** into[index[i]] = the largest or smallest of itself and all value[i]; the order does not matter. */
function reduceInto(into: Tensor, index: Tensor, value: Tensor, reduce: 'amax' | 'amin'): Tensor {
  return ops.scatter_reduce_(into, 0, index, value, reduce);
}
