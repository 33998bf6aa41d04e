import { boxIou, type Detections, type Targets } from './detections.ts';
import { assignTargets, type MatchingRule } from './matching.ts';

export interface ConfusionOptions {
  /** Detections count above this confidence. */
  readonly conf: number;
  /** Overlap from which a detection and a target are the same object. */
  readonly iou: number;
  readonly rule: MatchingRule;
}

/**
 * What was predicted for what: rows are predicted classes, columns true ones, and the last of both is the background
 * (last row: targets that nothing found; last column: detections of nothing). Pairs are formed regardless of class.
 */
export class ConfusionMatrix {
  readonly classes: number;
  /** [(classes + 1) × (classes + 1)], row-major. */
  readonly counts: Float64Array;
  readonly #options: ConfusionOptions;

  constructor(classes: number, options: ConfusionOptions) {
    this.classes = classes;
    this.counts = new Float64Array((classes + 1) ** 2);
    this.#options = options;
  }

  /** Counts one image. Detections come in falling confidence. */
  add(detections: Detections, targets: Targets): void {
    const { conf, iou, rule } = this.#options;
    let count = 0;
    while (count < detections.count && detections.conf[count]! > conf) count++;
    const assigned = assignTargets(
      {
        targets: targets.count,
        detections: count,
        iou: boxIou(targets.boxes, detections.boxes.subarray(0, 4 * count)),
      },
      [iou],
      rule,
    );
    const missed = new Set(targets.cls.keys());
    for (let detection = 0; detection < count; detection++) {
      const target = assigned[detection]!;
      missed.delete(target);
      this.#count(detections.cls[detection]!, target < 0 ? this.classes : targets.cls[target]!);
    }
    for (const target of missed) this.#count(this.classes, targets.cls[target]!);
  }

  at(predicted: number, actual: number): number {
    return this.counts[predicted * (this.classes + 1) + actual]!;
  }

  /** Every column divided by its sum, so that a column says what became of one true class; empty columns are 0. */
  normalized(): Float64Array {
    const size = this.classes + 1;
    const sums = new Float64Array(size);
    this.counts.forEach((count, i) => {
      sums[i % size]! += count;
    });
    return this.counts.map((count, i) => (count === 0 ? 0 : count / sums[i % size]!));
  }

  #count(predicted: number, actual: number): void {
    this.counts[predicted * (this.classes + 1) + actual]!++;
  }
}
