import { findAnchors, possibleRecall, type Sides } from '../assign/auto-anchor.ts';
import type { LabelledImage, Split } from '../data/scan.ts';
import { AnchorDetect } from '../models/anchor-detect.ts';
import type { DetectionModel } from '../models/build.ts';
import type { TrainEvent } from './event.ts';

export interface AnchorSettings {
  readonly imgsz: number;
  readonly anchor_t: number;
  readonly noautoanchor: boolean;
  readonly seed: number;
}

/** Above this share of boxes that the anchors may learn, they stay as they are. */
const ENOUGH = 0.98;
/** Boxes whose sides are both below this many pixels count for nothing. */
const LEAST_SIDE = 2;
const COLUMNS = 5;

/** AutoAnchor: gives a head with anchors others, found from the boxes of the training set, where its own fit too few. */
export function fitAnchors(
  model: DetectionModel,
  { images }: Split,
  { imgsz, anchor_t: limit, noautoanchor, seed }: AnchorSettings,
  emit: (event: TrainEvent) => void,
): void {
  const { head } = model;
  if (!(head instanceof AnchorDetect) || noautoanchor) return;
  const tell = (text: string) => emit({ event: 'message', level: 'info', text: `AutoAnchor: ${text}` });
  const boxes = images.flatMap((image) => sidesOf(image, imgsz));
  const own = pairs(head.pixels.flat());
  const recall = possibleRecall(boxes, own, limit);
  if (recall > ENOUGH) {
    tell(`the anchors fit ${percent(recall)} of ${boxes.length} boxes`);
    return;
  }
  const found = findAnchors(boxes, { count: own.length, limit, seed });
  const reached = found === null ? 0 : possibleRecall(boxes, found, limit);
  if (found === null || reached <= recall) {
    tell(`the anchors fit ${percent(recall)} of ${boxes.length} boxes, and none were found that fit more`);
    return;
  }
  const sides = found.flat();
  const perLevel = 2 * head.perCell;
  head.pixels = head.strides.map((_, level) => sides.slice(level * perLevel, (level + 1) * perLevel));
  const list = found.map(([width, height]) => `${Math.round(width)},${Math.round(height)}`).join(' ');
  tell(`the anchors fit only ${percent(recall)} of ${boxes.length} boxes; ${list} fit ${percent(reached)}`);
}

/** Sides of the boxes of an image as large as the network sees them, in pixels. */
function sidesOf({ width, height, labels }: LabelledImage, imgsz: number): Sides[] {
  const gain = imgsz / Math.max(width, height);
  const sides: Sides[] = [];
  for (let row = 0; row < labels.length; row += COLUMNS) {
    const box: Sides = [labels[row + 3]! * width * gain, labels[row + 4]! * height * gain];
    if (Math.max(...box) >= LEAST_SIDE) sides.push(box);
  }
  return sides;
}

const pairs = (values: readonly number[]): Sides[] =>
  Array.from({ length: values.length / 2 }, (_, i) => [values[2 * i]!, values[2 * i + 1]!]);

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
