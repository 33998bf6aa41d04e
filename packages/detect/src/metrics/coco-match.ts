import type { CocoAnnotation, CocoDetection } from './coco-format.ts';

/** Square pixels, both ends included. */
export interface AreaRange {
  readonly from: number;
  readonly to: number;
}

/** One image and class, matched: detections in falling score. */
export interface MatchedImage {
  readonly scores: readonly number[];
  /** [thresholds][detections]: matched with a target. */
  readonly matched: readonly Uint8Array[];
  /** [thresholds][detections]: neither right nor wrong. */
  readonly ignored: readonly Uint8Array[];
  /** Targets that count. */
  readonly targets: number;
}

/**
 * COCO's matching of one image and class: detections in falling score take the free target they overlap most. Crowd
 * regions and targets outside the area range are taken only when nothing else is left, and what they take is ignored;
 * so is an unmatched detection outside the range. A crowd region can be taken by many.
 *
 * @param detections in falling score
 */
export function matchCocoImage(
  annotations: readonly CocoAnnotation[],
  detections: readonly CocoDetection[],
  thresholds: readonly number[],
  range: AreaRange,
): MatchedImage {
  const outside = (area: number) => area < range.from || area > range.to;
  const ranked = [
    ...annotations.filter((a) => !a.iscrowd && !outside(a.area)),
    ...annotations.filter((a) => a.iscrowd || outside(a.area)),
  ];
  const counted = annotations.filter((a) => !a.iscrowd && !outside(a.area)).length;
  const overlaps = detections.map((detection) => ranked.map((annotation) => overlap(detection, annotation)));
  const matched: Uint8Array[] = [];
  const ignored: Uint8Array[] = [];
  for (const threshold of thresholds) {
    const hits = new Uint8Array(detections.length);
    const skips = new Uint8Array(detections.length);
    const taken = new Uint8Array(ranked.length);
    detections.forEach((detection, d) => {
      const target = bestTarget(overlaps[d]!, ranked, taken, counted, threshold);
      if (target < 0) {
        skips[d] = outside(detection.bbox[2] * detection.bbox[3]) ? 1 : 0;
        return;
      }
      hits[d] = 1;
      taken[target] = 1;
      skips[d] = target < counted ? 0 : 1;
    });
    matched.push(hits);
    ignored.push(skips);
  }
  return { scores: detections.map((d) => d.score), matched, ignored, targets: counted };
}

/** @param counted targets before this index count, those after it are ignored */
function bestTarget(
  overlaps: readonly number[],
  targets: readonly CocoAnnotation[],
  taken: Uint8Array,
  counted: number,
  threshold: number,
): number {
  let best = -1;
  let highest = threshold;
  for (let t = 0; t < targets.length; t++) {
    if (t === counted && best >= 0) break;
    if (taken[t] && !targets[t]!.iscrowd) continue;
    if (overlaps[t]! < highest) continue;
    best = t;
    highest = overlaps[t]!;
  }
  return best;
}

/** IoU; with a crowd region, the part of the detection that lies inside. */
function overlap(detection: CocoDetection, annotation: CocoAnnotation): number {
  const [dx, dy, dw, dh] = detection.bbox;
  const [gx, gy, gw, gh] = annotation.bbox;
  const width = Math.min(dx + dw, gx + gw) - Math.max(dx, gx);
  const height = Math.min(dy + dh, gy + gh) - Math.max(dy, gy);
  if (width <= 0 || height <= 0) return 0;
  const inside = width * height;
  return inside / (annotation.iscrowd ? dw * dh : dw * dh + gw * gh - inside);
}
