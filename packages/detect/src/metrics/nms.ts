import type { Detections } from './detections.ts';
import { MetricsError } from './errors.ts';
import { descendingOrder } from './order.ts';

/** How raw predictions become detections. Validation and prediction differ; see {@link VALIDATION_NMS} and {@link PREDICTION_NMS}. */
export interface NmsOptions {
  /** A score must be strictly greater to count. */
  readonly conf: number;
  /** A box is dropped when its IoU with a kept one is strictly greater. */
  readonly iou: number;
  /** One detection for every class above `conf` instead of the best class only; without effect on one class. */
  readonly multiLabel: boolean;
  /** Boxes suppress each other across classes. */
  readonly agnostic: boolean;
  /** Only these class indices are kept; all when absent. */
  readonly classes?: readonly number[];
  /** Most detections returned per image. */
  readonly maxDet: number;
  /** Most candidates, by score, that enter the suppression. */
  readonly maxNms: number;
}

export const VALIDATION_NMS: NmsOptions = {
  conf: 0.001,
  iou: 0.7,
  multiLabel: true,
  agnostic: false,
  maxDet: 300,
  maxNms: 30000,
};

export const PREDICTION_NMS: NmsOptions = {
  conf: 0.25,
  iou: 0.7,
  multiLabel: false,
  agnostic: false,
  maxDet: 300,
  maxNms: 30000,
};

export interface NmsDetections extends Detections {
  /** The anchor (column of the prediction) each detection came from. */
  readonly anchors: Int32Array;
}

interface Candidates {
  readonly anchors: Int32Array;
  readonly classes: Int32Array;
  readonly scores: Float32Array;
}

/**
 * Turns the decoded output of one image into detections: score filter, then greedy suppression, best score first.
 * Classes are kept apart by comparing class indices, so box coordinates keep their full precision.
 *
 * @param prediction [4 + classes, anchors] row-major: centre x, centre y, width, height in pixels, then class scores
 * @throws MetricsError `BAD_PREDICTION` when the length of `prediction` is no multiple of `4 + classes`
 */
export function nonMaxSuppression(
  prediction: Float32Array,
  classes: number,
  options: NmsOptions,
): NmsDetections {
  const anchors = prediction.length / (4 + classes);
  if (!Number.isInteger(anchors)) {
    throw new MetricsError(
      'BAD_PREDICTION',
      `${prediction.length} values are no [4 + ${classes} classes, anchors] prediction`,
    );
  }
  const wanted = options.classes === undefined ? undefined : new Set(options.classes);
  const candidates =
    options.multiLabel && classes > 1
      ? everyClass(prediction, classes, anchors, options.conf, wanted)
      : bestClass(prediction, classes, anchors, options.conf, wanted);
  const order = descendingOrder(candidates.scores).subarray(0, options.maxNms);

  const boxes = new Float32Array(4 * order.length);
  const groups = new Int32Array(order.length);
  for (let k = 0; k < order.length; k++) {
    const candidate = order[k]!;
    const anchor = candidates.anchors[candidate]!;
    const cx = prediction[anchor]!;
    const cy = prediction[anchors + anchor]!;
    const halfWidth = prediction[2 * anchors + anchor]! / 2;
    const halfHeight = prediction[3 * anchors + anchor]! / 2;
    boxes[4 * k] = cx - halfWidth;
    boxes[4 * k + 1] = cy - halfHeight;
    boxes[4 * k + 2] = cx + halfWidth;
    boxes[4 * k + 3] = cy + halfHeight;
    groups[k] = options.agnostic ? 0 : candidates.classes[candidate]!;
  }
  const kept = suppress(boxes, groups, options.iou, options.maxDet);

  const detections = {
    count: kept.length,
    boxes: new Float32Array(4 * kept.length),
    conf: new Float32Array(kept.length),
    cls: new Int32Array(kept.length),
    anchors: new Int32Array(kept.length),
  };
  kept.forEach((k, i) => {
    const candidate = order[k]!;
    detections.boxes.set(boxes.subarray(4 * k, 4 * k + 4), 4 * i);
    detections.conf[i] = candidates.scores[candidate]!;
    detections.cls[i] = candidates.classes[candidate]!;
    detections.anchors[i] = candidates.anchors[candidate]!;
  });
  return detections;
}

/**
 * Bare greedy suppression, as `torchvision.ops.nms`: indices of the kept boxes, best score first; of two equal
 * scores the lower index counts as the better one.
 *
 * @param boxes corner boxes, 4 values each
 */
export function nms(boxes: Float32Array, scores: Float32Array, iou: number): Int32Array {
  const order = descendingOrder(scores);
  const sorted = new Float32Array(boxes.length);
  order.forEach((from, to) => {
    sorted.set(boxes.subarray(4 * from, 4 * from + 4), 4 * to);
  });
  const kept = suppress(sorted, new Int32Array(order.length), iou, order.length);
  return kept.map((k) => order[k]!);
}

/**
 * Positions that survive among boxes sorted by falling score. A box is compared with the kept ones of its own group
 * only, and the work stops at `limit` kept boxes, which costs little even when every anchor is a candidate.
 */
function suppress(boxes: Float32Array, groups: Int32Array, threshold: number, limit: number): Int32Array {
  const n = groups.length;
  const kept = new Int32Array(Math.min(n, limit));
  const lastOfGroup = new Map<number, number>();
  const previousInGroup = new Int32Array(kept.length);
  let count = 0;
  for (let k = 0; k < n && count < kept.length; k++) {
    const group = groups[k]!;
    const last = lastOfGroup.get(group) ?? -1;
    if (overlapsKept(boxes, k, kept, last, previousInGroup, threshold)) continue;
    kept[count] = k;
    previousInGroup[count] = last;
    lastOfGroup.set(group, count);
    count++;
  }
  return kept.subarray(0, count);
}

function overlapsKept(
  boxes: Float32Array,
  k: number,
  kept: Int32Array,
  last: number,
  previousInGroup: Int32Array,
  threshold: number,
): boolean {
  const x1 = boxes[4 * k]!;
  const y1 = boxes[4 * k + 1]!;
  const x2 = boxes[4 * k + 2]!;
  const y2 = boxes[4 * k + 3]!;
  const area = (x2 - x1) * (y2 - y1);
  for (let i = last; i >= 0; i = previousInGroup[i]!) {
    const at = 4 * kept[i]!;
    const left = boxes[at]!;
    const top = boxes[at + 1]!;
    const right = boxes[at + 2]!;
    const bottom = boxes[at + 3]!;
    const width = Math.min(x2, right) - Math.max(x1, left);
    if (!(width > 0)) continue;
    const height = Math.min(y2, bottom) - Math.max(y1, top);
    if (!(height > 0)) continue;
    const overlap = width * height;
    if (overlap / (area + (right - left) * (bottom - top) - overlap) > threshold) return true;
  }
  return false;
}

function everyClass(
  prediction: Float32Array,
  classes: number,
  anchors: number,
  conf: number,
  wanted: ReadonlySet<number> | undefined,
): Candidates {
  const scores = prediction.subarray(4 * anchors);
  let count = 0;
  for (let i = 0; i < scores.length; i++) if (scores[i]! > conf) count++;
  const found = newCandidates(count);
  let n = 0;
  for (let c = 0; c < classes; c++) {
    if (wanted !== undefined && !wanted.has(c)) continue;
    for (let a = 0; a < anchors; a++) {
      const score = scores[c * anchors + a]!;
      if (!(score > conf)) continue;
      found.anchors[n] = a;
      found.classes[n] = c;
      found.scores[n] = score;
      n++;
    }
  }
  return firstCandidates(found, n);
}

function bestClass(
  prediction: Float32Array,
  classes: number,
  anchors: number,
  conf: number,
  wanted: ReadonlySet<number> | undefined,
): Candidates {
  const best = prediction.slice(4 * anchors, 5 * anchors);
  const bestOf = new Int32Array(anchors);
  for (let c = 1; c < classes; c++) {
    const row = prediction.subarray((4 + c) * anchors, (5 + c) * anchors);
    for (let a = 0; a < anchors; a++) {
      if (row[a]! > best[a]!) {
        best[a] = row[a]!;
        bestOf[a] = c;
      }
    }
  }
  const found = newCandidates(anchors);
  let n = 0;
  for (let a = 0; a < anchors; a++) {
    if (!(best[a]! > conf) || (wanted !== undefined && !wanted.has(bestOf[a]!))) continue;
    found.anchors[n] = a;
    found.classes[n] = bestOf[a]!;
    found.scores[n] = best[a]!;
    n++;
  }
  return firstCandidates(found, n);
}

function newCandidates(count: number): Candidates {
  return {
    anchors: new Int32Array(count),
    classes: new Int32Array(count),
    scores: new Float32Array(count),
  };
}

function firstCandidates(candidates: Candidates, count: number): Candidates {
  return {
    anchors: candidates.anchors.subarray(0, count),
    classes: candidates.classes.subarray(0, count),
    scores: candidates.scores.subarray(0, count),
  };
}
