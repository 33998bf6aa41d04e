import type { Detections, Targets } from './detections.ts';

/** x and y of the top left corner, width, height, in pixels. */
export type CocoBox = readonly [x: number, y: number, width: number, height: number];

export type CocoImageId = number | string;

export interface CocoAnnotation {
  readonly image_id: CocoImageId;
  readonly category_id: number;
  readonly bbox: CocoBox;
  /** Square pixels; of the object's mask where one is known, else of the box. */
  readonly area: number;
  readonly iscrowd?: 0 | 1;
}

/** One entry of a COCO results file. */
export interface CocoDetection {
  readonly image_id: CocoImageId;
  readonly file_name?: string;
  readonly category_id: number;
  readonly bbox: CocoBox;
  readonly score: number;
}

/** The parts of a COCO `instances_*.json` that the evaluation needs. */
export interface CocoGroundTruth {
  readonly images: readonly { readonly id: CocoImageId }[];
  readonly annotations: readonly CocoAnnotation[];
  readonly categories: readonly { readonly id: number; readonly name: string }[];
}

/** COCO's id of an image file: its name without folder and suffix, as a number where it is one. */
export function cocoImageId(path: string): CocoImageId {
  const stem = path.replace(/^.*[/\\]/, '').replace(/\.[^.]*$/, '');
  return /^\d+$/.test(stem) ? Number(stem) : stem;
}

/**
 * Detections of one image as entries of a results file: boxes rounded to 3 decimals, scores to 5.
 *
 * @param categories the category number of each class index
 */
export function toCocoDetections(
  image_id: CocoImageId,
  file_name: string,
  detections: Detections,
  categories: readonly number[],
): CocoDetection[] {
  return Array.from(detections.cls, (cls, i) => ({
    image_id,
    file_name,
    category_id: categories[cls]!,
    bbox: roundBox(cocoBox(detections.boxes, i)),
    score: round(detections.conf[i]!, 5),
  }));
}

/** The true boxes of one image as annotations, category numbers as in {@link toCocoDetections}. */
export function toCocoAnnotations(
  image_id: CocoImageId,
  targets: Targets,
  categories: readonly number[],
): CocoAnnotation[] {
  return Array.from(targets.cls, (cls, i) => {
    const bbox = cocoBox(targets.boxes, i);
    return { image_id, category_id: categories[cls]!, bbox, area: bbox[2] * bbox[3], iscrowd: 0 };
  });
}

function cocoBox(boxes: Float32Array, i: number): CocoBox {
  const x = boxes[4 * i]!;
  const y = boxes[4 * i + 1]!;
  return [x, y, boxes[4 * i + 2]! - x, boxes[4 * i + 3]! - y];
}

function roundBox([x, y, width, height]: CocoBox): CocoBox {
  return [round(x, 3), round(y, 3), round(width, 3), round(height, 3)];
}

function round(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}
