/** IoU 0.50, 0.55, … 0.95, as fp32 values: what an fp32 IoU is compared with. */
export const IOU_THRESHOLDS: readonly number[] = Array.from({ length: 10 }, (_, i) =>
  Math.fround((50 + 5 * i) / 100),
);

/**
 * Which target a detection goes for. Detections choose in falling confidence, and a target is given once.
 * - `confidence`: the target it overlaps most among those still free (COCO's rule).
 * - `iou`: the target it overlaps most of all; when that one is taken, the detection stays unmatched
 *   (Ultralytics up to 8.3).
 */
export type MatchingRule = 'confidence' | 'iou';

/** Overlaps of one image's targets and detections, with what may be paired. */
export interface Overlaps {
  readonly targets: number;
  /** In falling confidence. */
  readonly detections: number;
  /** [targets × detections], fp32. */
  readonly iou: Float32Array;
  /** Pairs to leave out, whatever their overlap; every pair is allowed when absent. */
  readonly allowed?: (target: number, detection: number) => boolean;
}

/**
 * The target of every detection at every IoU threshold (a pair needs IoU ≥ threshold).
 *
 * @param thresholds in rising order
 * @returns [detections × thresholds]: index of the target, or -1
 */
export function assignTargets(
  overlaps: Overlaps,
  thresholds: readonly number[],
  rule: MatchingRule,
): Int32Array {
  const { targets, detections, iou, allowed } = overlaps;
  const levels = thresholds.length;
  const assigned = new Int32Array(detections * levels).fill(-1);
  const taken = new Uint8Array(targets * levels);
  const lowest = thresholds[0] ?? Number.POSITIVE_INFINITY;
  for (let detection = 0; detection < detections; detection++) {
    const choices: { target: number; overlap: number }[] = [];
    for (let target = 0; target < targets; target++) {
      const overlap = iou[target * detections + detection]!;
      if (overlap >= lowest && (allowed === undefined || allowed(target, detection)))
        choices.push({ target, overlap });
    }
    choices.sort((a, b) => b.overlap - a.overlap);
    thresholds.forEach((threshold, level) => {
      for (const { target, overlap } of choices) {
        if (overlap < threshold) return;
        if (!taken[target * levels + level]) {
          taken[target * levels + level] = 1;
          assigned[detection * levels + level] = target;
          return;
        }
        if (rule === 'iou') return;
      }
    });
  }
  return assigned;
}

/**
 * Marks, at each of {@link IOU_THRESHOLDS}, the detections that are true positives: matched with a target of their
 * own class.
 *
 * @param iou [targets × detections], detections in falling confidence
 * @returns [detections × 10], 1 for a true positive at that threshold
 */
export function truePositives(
  iou: Float32Array,
  targetClasses: Int32Array,
  detectionClasses: Int32Array,
  rule: MatchingRule,
): Uint8Array {
  const assigned = assignTargets(
    {
      targets: targetClasses.length,
      detections: detectionClasses.length,
      iou,
      allowed: (target, detection) => targetClasses[target] === detectionClasses[detection],
    },
    IOU_THRESHOLDS,
    rule,
  );
  return Uint8Array.from(assigned, (target) => (target >= 0 ? 1 : 0));
}
