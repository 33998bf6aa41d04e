import type { DrawnBox } from './boxes.ts';

/** A rectangle in pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A label that covers more than this share of a box hides it. */
const HIDDEN = 0.5;

/**
 * Places for the labels of boxes: on a box, under its upper edge, below it, at its left side or at its right one, where
 * a label covers no earlier label and hides no box.
 *
 * @param sizes width and height of each label; null for a box without one
 * @param area where all labels lie
 * @returns null where there is no such place
 */
export function labelPlaces(
  boxes: readonly DrawnBox[],
  sizes: readonly (Pick<Place, 'width' | 'height'> | null)[],
  area: Pick<Place, 'width' | 'height'>,
): (Place | null)[] {
  const taken: Place[] = [];
  const frames = boxes.map(({ xyxy: [x1, y1, x2, y2] }) => ({
    x: x1,
    y: y1,
    width: x2 - x1,
    height: y2 - y1,
  }));
  return boxes.map((box, i) => {
    const size = sizes[i];
    if (!size) return null;
    const free = candidates(box, size).find(
      (place) =>
        isInside(place, area) &&
        taken.every((other) => overlap(place, other) === 0) &&
        frames.every((frame) => overlap(place, frame) <= HIDDEN * frame.width * frame.height),
    );
    if (free) taken.push(free);
    return free ?? null;
  });
}

function candidates(
  { xyxy: [x1, y1, x2, y2] }: DrawnBox,
  { width, height }: Pick<Place, 'width' | 'height'>,
): Place[] {
  return [y1 - height, y1, y2].flatMap((y) => [x1, x2 - width].map((x) => ({ x, y, width, height })));
}

function isInside({ x, y, width, height }: Place, area: Pick<Place, 'width' | 'height'>): boolean {
  return x >= 0 && y >= 0 && x + width <= area.width && y + height <= area.height;
}

function overlap(a: Place, b: Place): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return width > 0 && height > 0 ? width * height : 0;
}
