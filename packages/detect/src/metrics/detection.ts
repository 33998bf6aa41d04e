import { type ApCurves, type ApPerClass, apPerClass } from './ap.ts';
import { ConfusionMatrix } from './confusion.ts';
import { boxIou, type Detections, type Targets } from './detections.ts';
import { IOU_THRESHOLDS, truePositives } from './matching.ts';
import { fitnessOf, METRIC_RULES, type MetricRules } from './rules.ts';

/** Confidence and overlap at which the confusion matrix is taken. */
const CONFUSION = { conf: 0.25, iou: 0.45 };

/** Results of one class that occurs among the targets. */
export interface ClassMetrics {
  readonly id: number;
  readonly name: string;
  /** Images with at least one target of the class. */
  readonly images: number;
  /** Targets of the class. */
  readonly instances: number;
  readonly precision: number;
  readonly recall: number;
  readonly ap50: number;
  /** Mean over the ten IoU thresholds. */
  readonly ap: number;
}

/** Means over the classes that occur among the targets; 0 when there are none. */
export interface BoxMetrics {
  readonly precision: number;
  readonly recall: number;
  readonly map50: number;
  readonly map75: number;
  /** mAP50-95. */
  readonly map: number;
  /** mAP50-95 of every class of the data set; a class without targets takes the mean. */
  readonly maps: readonly number[];
}

/** Mean seconds per image. */
export interface Speed {
  readonly preprocess: number;
  readonly inference: number;
  readonly postprocess: number;
}

/** The outcome of a validation. */
export class DetectionResult {
  readonly box: BoxMetrics;
  /** By which the best epoch is chosen; higher is better. */
  readonly fitness: number;
  readonly perClass: readonly ClassMetrics[];
  readonly images: number;
  readonly instances: number;
  /** The confidence at which precision and recall are reported: the one with the highest smoothed mean F1. */
  readonly bestConfidence: number;
  /** One curve per entry of {@link perClass}. */
  readonly curves: ApCurves;
  readonly confusion: ConfusionMatrix;
  readonly names: readonly string[];
  speed: Speed = { preprocess: 0, inference: 0, postprocess: 0 };

  /** The result whose fields another process found by these rules. */
  static received(fields: DetectionResult, { match }: MetricRules): DetectionResult {
    const { classes, counts } = fields.confusion;
    const confusion = new ConfusionMatrix(classes, { ...CONFUSION, rule: match });
    confusion.counts.set(counts);
    return Object.assign(Object.create(DetectionResult.prototype), { ...fields, confusion });
  }

  constructor(
    names: readonly string[],
    ap: ApPerClass,
    imagesPerClass: Int32Array,
    images: number,
    confusion: ConfusionMatrix,
    rules: MetricRules,
  ) {
    this.names = names;
    this.perClass = Array.from(ap.classes, (id, k) => ({
      id,
      name: names[id]!,
      images: imagesPerClass[id]!,
      instances: ap.instances[k]!,
      precision: ap.precision[k]!,
      recall: ap.recall[k]!,
      ap50: ap.ap[k]![0]!,
      ap: mean(ap.ap[k]!),
    }));
    const map = mean(this.perClass.map((row) => row.ap));
    const apOf = new Map(this.perClass.map((row) => [row.id, row.ap]));
    this.box = {
      precision: mean(this.perClass.map((row) => row.precision)),
      recall: mean(this.perClass.map((row) => row.recall)),
      map50: mean(this.perClass.map((row) => row.ap50)),
      map75: mean(ap.ap.map((levels) => levels[5]!)),
      map,
      maps: names.map((_, id) => apOf.get(id) ?? map),
    };
    this.fitness = fitnessOf(this.box.map50, map, rules.fitness);
    this.images = images;
    this.instances = this.perClass.reduce((sum, row) => sum + row.instances, 0);
    this.bestConfidence = ap.bestConfidence;
    this.curves = ap.curves;
    this.confusion = confusion;
  }
}

/** Collects the detections and targets of a validation, image by image, and computes its result. */
export class DetectionMetrics {
  readonly names: readonly string[];
  readonly #rules: MetricRules;
  readonly #confusion: ConfusionMatrix;
  readonly #tp: Uint8Array[] = [];
  readonly #conf: Float32Array[] = [];
  readonly #detectionClasses: Int32Array[] = [];
  readonly #targetClasses: Int32Array[] = [];

  /** @param names class names, by class index */
  constructor(names: readonly string[], rules: MetricRules = METRIC_RULES['8.4']) {
    this.names = names;
    this.#rules = rules;
    this.#confusion = new ConfusionMatrix(names.length, { ...CONFUSION, rule: rules.match });
  }

  /**
   * Adds one image. Boxes of both are in the pixels of the original image.
   *
   * @param detections in falling confidence
   */
  add(detections: Detections, targets: Targets): void {
    const iou = boxIou(targets.boxes, detections.boxes);
    this.#tp.push(truePositives(iou, targets.cls, detections.cls, this.#rules.match));
    this.#conf.push(detections.conf);
    this.#detectionClasses.push(detections.cls);
    this.#targetClasses.push(targets.cls);
    this.#confusion.add(detections, targets);
  }

  /** The metrics of everything added so far. */
  result(): DetectionResult {
    const detections = this.#conf.reduce((sum, conf) => sum + conf.length, 0);
    const targets = this.#targetClasses.reduce((sum, cls) => sum + cls.length, 0);
    const ap = apPerClass({
      tp: joined(new Uint8Array(detections * IOU_THRESHOLDS.length), this.#tp),
      conf: joined(new Float32Array(detections), this.#conf),
      detectionClasses: joined(new Int32Array(detections), this.#detectionClasses),
      targetClasses: joined(new Int32Array(targets), this.#targetClasses),
      rule: this.#rules.apEnd,
    });
    const imagesPerClass = new Int32Array(this.names.length);
    for (const classes of this.#targetClasses) for (const cls of new Set(classes)) imagesPerClass[cls]!++;
    const images = this.#targetClasses.length;
    return new DetectionResult(this.names, ap, imagesPerClass, images, this.#confusion, this.#rules);
  }
}

function joined<T extends Uint8Array | Float32Array | Int32Array>(whole: T, parts: readonly T[]): T {
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return values.length === 0 ? 0 : sum / values.length;
}
