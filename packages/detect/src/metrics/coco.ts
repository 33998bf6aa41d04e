import type { CocoAnnotation, CocoDetection, CocoGroundTruth, CocoImageId } from './coco-format.ts';
import { type AreaRange, type MatchedImage, matchCocoImage } from './coco-match.ts';
import { MetricsError } from './errors.ts';

/** COCO's twelve numbers, 0 to 1; -1 where no target of that size exists. */
export interface CocoStats {
  readonly AP: number;
  readonly AP50: number;
  readonly AP75: number;
  readonly APs: number;
  readonly APm: number;
  readonly APl: number;
  readonly AR1: number;
  readonly AR10: number;
  readonly AR100: number;
  readonly ARs: number;
  readonly ARm: number;
  readonly ARl: number;
}

// grids rounded as numpy.linspace rounds them
const STEP = (0.95 - 0.5) / 9;
const THRESHOLDS = Array.from({ length: 10 }, (_, i) => (i === 9 ? 0.95 : i * STEP + 0.5));
const RECALLS = Array.from({ length: 101 }, (_, i) => i * 0.01);
const EPS = 2 ** -52;

const AREAS: Record<'all' | 'small' | 'medium' | 'large', AreaRange> = {
  all: { from: 0, to: 1e10 },
  small: { from: 0, to: 32 ** 2 },
  medium: { from: 32 ** 2, to: 96 ** 2 },
  large: { from: 96 ** 2, to: 1e10 },
};

interface Measure {
  readonly kind: 'precision' | 'recall';
  readonly area: keyof typeof AREAS;
  /** Index into the IoU thresholds; all of them when absent. */
  readonly level?: number;
  /** Detections per image and class, best first. */
  readonly maxDets: number;
}

const MEASURES: Record<keyof CocoStats, Measure> = {
  AP: { kind: 'precision', area: 'all', maxDets: 100 },
  AP50: { kind: 'precision', area: 'all', level: 0, maxDets: 100 },
  AP75: { kind: 'precision', area: 'all', level: 5, maxDets: 100 },
  APs: { kind: 'precision', area: 'small', maxDets: 100 },
  APm: { kind: 'precision', area: 'medium', maxDets: 100 },
  APl: { kind: 'precision', area: 'large', maxDets: 100 },
  AR1: { kind: 'recall', area: 'all', maxDets: 1 },
  AR10: { kind: 'recall', area: 'all', maxDets: 10 },
  AR100: { kind: 'recall', area: 'all', maxDets: 100 },
  ARs: { kind: 'recall', area: 'small', maxDets: 100 },
  ARm: { kind: 'recall', area: 'medium', maxDets: 100 },
  ARl: { kind: 'recall', area: 'large', maxDets: 100 },
};

/**
 * The numbers of pycocotools' `COCOeval` for boxes: 101 sampled recall points, matching by score, crowd regions and
 * sizes out of range ignored, at most 100 detections per image and class.
 *
 * @throws MetricsError `UNKNOWN_IMAGE` for a detection on an image that the ground truth does not list
 */
export function cocoStats(groundTruth: CocoGroundTruth, detections: readonly CocoDetection[]): CocoStats {
  const known = new Set(groundTruth.images.map((image) => image.id));
  const stray = detections.find((detection) => !known.has(detection.image_id));
  if (stray !== undefined) {
    throw new MetricsError(
      'UNKNOWN_IMAGE',
      `detection on image ${stray.image_id}, which the ground truth does not list`,
    );
  }
  const byImage = groupImages(groundTruth, detections);
  const perArea = new Map<string, MatchedImage[][]>();
  const stats = Object.entries(MEASURES).map(([name, measure]) => {
    let classes = perArea.get(measure.area);
    if (classes === undefined) {
      classes = byImage.map((images) =>
        images.map(([annotations, found]) =>
          matchCocoImage(annotations, found, THRESHOLDS, AREAS[measure.area]),
        ),
      );
      perArea.set(measure.area, classes);
    }
    return [name, summarize(classes, measure)] as const;
  });
  return Object.fromEntries(stats) as Record<keyof CocoStats, number>;
}

type ImagePair = [annotations: CocoAnnotation[], detections: CocoDetection[]];

/** [category][image with anything of it], detections in falling score, the best 100 of them. */
function groupImages(groundTruth: CocoGroundTruth, detections: readonly CocoDetection[]): ImagePair[][] {
  const groups = new Map(groundTruth.categories.map((c) => [c.id, new Map<CocoImageId, ImagePair>()]));
  const pairOf = (item: CocoAnnotation | CocoDetection): ImagePair | undefined => {
    const images = groups.get(item.category_id);
    if (images === undefined) return undefined;
    const pair = images.get(item.image_id) ?? [[], []];
    images.set(item.image_id, pair);
    return pair;
  };
  for (const annotation of groundTruth.annotations) pairOf(annotation)?.[0].push(annotation);
  for (const detection of detections) pairOf(detection)?.[1].push(detection);
  return Array.from(groups.values(), (images) =>
    Array.from(images)
      // decides between equal scores of different images
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, [annotations, found]]): ImagePair => {
        const best = [...found].sort((a, b) => b.score - a.score).slice(0, 100);
        return [annotations, best];
      }),
  );
}

/** The mean over classes with targets, and over thresholds; -1 without any. */
function summarize(classes: readonly MatchedImage[][], measure: Measure): number {
  const levels = measure.level === undefined ? THRESHOLDS.map((_, level) => level) : [measure.level];
  const values: number[] = [];
  for (const images of classes) {
    const targets = images.reduce((sum, image) => sum + image.targets, 0);
    if (targets === 0) continue;
    const ranked = rankDetections(images, measure.maxDets);
    for (const level of levels) values.push(measureClass(images, ranked, level, targets, measure.kind));
  }
  return values.length === 0 ? -1 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

interface Ranked {
  readonly image: number;
  readonly detection: number;
  readonly score: number;
}

function rankDetections(images: readonly MatchedImage[], maxDets: number): Ranked[] {
  return images
    .flatMap(({ scores }, image) =>
      scores.slice(0, maxDets).map((score, detection) => ({ image, detection, score })),
    )
    .sort((a, b) => b.score - a.score);
}

/** Recall reached, or precision averaged over the 101 recall points, of one class at one threshold. */
function measureClass(
  images: readonly MatchedImage[],
  ranked: readonly Ranked[],
  level: number,
  targets: number,
  kind: Measure['kind'],
): number {
  const recall: number[] = [];
  const precision: number[] = [];
  let hits = 0;
  let misses = 0;
  for (const { image, detection } of ranked) {
    const { matched, ignored } = images[image]!;
    if (!ignored[level]![detection]) {
      if (matched[level]![detection]) hits++;
      else misses++;
    }
    recall.push(hits / targets);
    precision.push(hits / (hits + misses + EPS));
  }
  if (kind === 'recall') return recall.at(-1) ?? 0;
  for (let i = precision.length - 2; i >= 0; i--) precision[i] = Math.max(precision[i]!, precision[i + 1]!);
  let sum = 0;
  let at = 0;
  for (const point of RECALLS) {
    while (at < recall.length && recall[at]! < point) at++;
    sum += precision[at] ?? 0;
  }
  return sum / RECALLS.length;
}
