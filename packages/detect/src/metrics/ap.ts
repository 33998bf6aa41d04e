import { boxSmooth, interpolate, unitGrid } from './interpolate.ts';
import { IOU_THRESHOLDS } from './matching.ts';
import { descendingOrder } from './order.ts';

/**
 * How a precision-recall curve ends when not every target was found.
 * - `drop`: precision is 0 beyond the last recall reached (close to COCO's average over 101 recall points).
 * - `slope`: precision falls in a straight line from the last point to (1, 0), which adds area (Ultralytics up to 8.3).
 */
export type ApRule = 'drop' | 'slope';

/** Points of the confidence, precision-recall and F1 curves. */
const CURVE_POINTS = 1000;
const RECALL_POINTS = 101;
const EPS = 1e-16;
const F1_SMOOTHING = 0.1;

export interface PrecisionRecallCurve {
  /** Rising recall. */
  readonly recall: Float64Array;
  /** Falling: the highest precision at this recall or beyond it. */
  readonly precision: Float64Array;
}

/** Detections and targets of a whole data set, images told apart only through `tp`. */
export interface ApInput {
  /** [detections × 10] true positives at {@link IOU_THRESHOLDS}. */
  readonly tp: Uint8Array;
  readonly conf: Float32Array | Float64Array;
  readonly detectionClasses: Int32Array;
  readonly targetClasses: Int32Array;
  readonly rule: ApRule;
}

/** All arrays have one entry per class that has targets, in rising class order. */
export interface ApPerClass {
  readonly classes: Int32Array;
  readonly instances: Int32Array;
  /** At {@link bestConfidence}, IoU 0.5. */
  readonly precision: Float64Array;
  readonly recall: Float64Array;
  readonly f1: Float64Array;
  readonly truePositives: Int32Array;
  readonly falsePositives: Int32Array;
  /** Average precision at the ten IoU thresholds. */
  readonly ap: readonly Float64Array[];
  /** The one confidence, for all classes, with the highest smoothed mean F1. */
  readonly bestConfidence: number;
  readonly curves: ApCurves;
}

/** Curves at IoU 0.5 over 1000 points from 0 to 1, one per class. */
export interface ApCurves {
  /** Confidence for `precision`, `recall` and `f1`; recall for `precisionOverRecall`. */
  readonly x: Float64Array;
  readonly precision: readonly Float64Array[];
  readonly recall: readonly Float64Array[];
  readonly f1: readonly Float64Array[];
  readonly precisionOverRecall: readonly Float64Array[];
}

/**
 * The precision-recall curve between recall 0 and 1, with the envelope taken.
 *
 * @param recall rising with falling confidence
 * @param precision at the same points
 */
export function precisionRecallCurve(
  recall: Float64Array,
  precision: Float64Array,
  rule: ApRule,
): PrecisionRecallCurve {
  const n = recall.length;
  const tail = rule === 'drop' ? [recall[n - 1] ?? 0, 1] : [1];
  const fullRecall = Float64Array.from([0, ...recall, ...tail]);
  const envelope = Float64Array.from([1, ...precision, ...tail.map(() => 0)]);
  for (let i = envelope.length - 2; i >= 0; i--) envelope[i] = Math.max(envelope[i]!, envelope[i + 1]!);
  return { recall: fullRecall, precision: envelope };
}

/** Area under the curve: 101 interpolated recall points, then the trapezoid rule. */
export function averagePrecision(curve: PrecisionRecallCurve): number {
  const precision = interpolate(unitGrid(RECALL_POINTS), curve.recall, curve.precision);
  const inner = precision.reduce((sum, p) => sum + p, 0);
  return (inner - (precision[0]! + precision[RECALL_POINTS - 1]!) / 2) / (RECALL_POINTS - 1);
}

/** Average precision of every class that has targets, and the curves and best working point that go with it. */
export function apPerClass(input: ApInput): ApPerClass {
  const { classes, instances } = countTargets(input.targetClasses);
  const byClass = splitByClass(input, classes);
  const x = unitGrid(CURVE_POINTS);
  const rows = byClass.map((detections, k) => classRow(input, detections, instances[k]!, x));
  const f1 = rows.map((row) =>
    row.precision.map((p, i) => (2 * p * row.recall[i]!) / (p + row.recall[i]! + EPS)),
  );
  const best = indexOfLargest(boxSmooth(meanCurve(f1), F1_SMOOTHING));
  const recall = Float64Array.from(rows, (row) => row.recall[best]!);
  const precision = Float64Array.from(rows, (row) => row.precision[best]!);
  const truePositives = Int32Array.from(recall, (r, k) => Math.round(r * instances[k]!));
  return {
    classes,
    instances,
    precision,
    recall,
    f1: Float64Array.from(f1, (curve) => curve[best]!),
    truePositives,
    falsePositives: Int32Array.from(precision, (p, k) =>
      Math.round(truePositives[k]! / (p + EPS) - truePositives[k]!),
    ),
    ap: rows.map((row) => row.ap),
    bestConfidence: x[best]!,
    curves: {
      x,
      precision: rows.map((row) => row.precision),
      recall: rows.map((row) => row.recall),
      f1,
      precisionOverRecall: rows.map((row) => row.precisionOverRecall),
    },
  };
}

/** The mean of several curves over the same points; all zero when there are none. */
export function meanCurve(curves: readonly Float64Array[]): Float64Array {
  const mean = new Float64Array(curves[0]?.length ?? CURVE_POINTS);
  for (const curve of curves) for (let i = 0; i < mean.length; i++) mean[i]! += curve[i]!;
  return mean.map((sum) => sum / Math.max(curves.length, 1));
}

interface ClassRow {
  readonly precision: Float64Array;
  readonly recall: Float64Array;
  readonly precisionOverRecall: Float64Array;
  readonly ap: Float64Array;
}

/** @param detections indices of one class's detections in falling confidence */
function classRow(
  input: ApInput,
  detections: readonly number[],
  instances: number,
  x: Float64Array,
): ClassRow {
  const levels = IOU_THRESHOLDS.length;
  const ap = new Float64Array(levels);
  if (detections.length === 0) {
    const zero = new Float64Array(CURVE_POINTS);
    return { precision: zero, recall: zero, precisionOverRecall: zero, ap };
  }
  const n = detections.length;
  const recalls: Float64Array[] = [];
  const precisions: Float64Array[] = [];
  const curves: PrecisionRecallCurve[] = [];
  for (let level = 0; level < levels; level++) {
    const recall = new Float64Array(n);
    const precision = new Float64Array(n);
    let hits = 0;
    for (let i = 0; i < n; i++) {
      hits += input.tp[detections[i]! * levels + level]!;
      recall[i] = hits / (instances + EPS);
      precision[i] = hits / (i + 1);
    }
    const curve = precisionRecallCurve(recall, precision, input.rule);
    recalls.push(recall);
    precisions.push(precision);
    curves.push(curve);
    ap[level] = averagePrecision(curve);
  }
  // confidences fall along the detections, so both axes are negated for a rising abscissa
  const falling = Float64Array.from(detections, (d) => -input.conf[d]!);
  const at = x.map((value) => -value);
  return {
    precision: interpolate(at, falling, precisions[0]!, 1),
    recall: interpolate(at, falling, recalls[0]!, 0),
    precisionOverRecall: interpolate(x, curves[0]!.recall, curves[0]!.precision),
    ap,
  };
}

function countTargets(targetClasses: Int32Array): { classes: Int32Array; instances: Int32Array } {
  const counts = new Map<number, number>();
  for (const cls of targetClasses) counts.set(cls, (counts.get(cls) ?? 0) + 1);
  const classes = Int32Array.from(counts.keys()).sort();
  return { classes, instances: classes.map((cls) => counts.get(cls)!) };
}

function splitByClass(input: ApInput, classes: Int32Array): number[][] {
  const rows: number[][] = Array.from(classes, () => []);
  const rowOf = new Map(Array.from(classes, (cls, k) => [cls, k]));
  for (const d of descendingOrder(input.conf)) {
    const row = rowOf.get(input.detectionClasses[d]!);
    if (row !== undefined) rows[row]!.push(d);
  }
  return rows;
}

function indexOfLargest(values: Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
