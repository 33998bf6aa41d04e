/**
 * CutMix: a rectangle of the picture is replaced by the same rectangle of another one (arXiv 1905.04899). As in
 * Ultralytics, only areas that touch no object are replaced, and the boxes inside come along.
 */
import type { PlacedBox, Rectangle, Size } from './geometry.ts';
import type { CounterRandom } from './random.ts';

/** How many areas are tried before a picture stays as it is. */
const ATTEMPTS = 3;
/** A box comes along when at least this part of it lies in the area. */
const VISIBLE = 0.1;

/**
 * Areas in the order in which they are tried, in pixels of the picture. The part that an area covers, before the
 * edge of the picture cuts it, is uniform (Beta(1, 1)); so is its centre.
 */
export function cutAreas(random: CounterRandom, { width, height }: Size): Rectangle[] {
  return Array.from({ length: ATTEMPTS }, () => {
    const ratio = Math.sqrt(random.uniform());
    const halfWidth = Math.floor(Math.trunc(width * ratio) / 2);
    const halfHeight = Math.floor(Math.trunc(height * ratio) / 2);
    const x = random.integer(width);
    const y = random.integer(height);
    return [
      Math.max(x - halfWidth, 0),
      Math.max(y - halfHeight, 0),
      Math.min(x + halfWidth, width),
      Math.min(y + halfHeight, height),
    ];
  });
}

/** The first area with a size that no box reaches into, if there is one. */
export function freeArea(areas: readonly Rectangle[], boxes: readonly PlacedBox[]): Rectangle | null {
  const free = (area: Rectangle) => boxes.every(({ box }) => common(box, area) === 0);
  return areas.find((area) => areaOf(area) > 0 && free(area)) ?? null;
}

/** The boxes that an area brings along, cut at its edge. */
export function boxesInArea(boxes: readonly PlacedBox[], area: Rectangle): PlacedBox[] {
  return boxes.flatMap(({ cls, box }) => {
    if (common(box, area) < VISIBLE * areaOf(box)) return [];
    return [{ cls, box: intersection(box, area) }];
  });
}

function intersection(a: Rectangle, b: Rectangle): Rectangle {
  return [Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])];
}

/** Area that two rectangles share. */
function common(a: Rectangle, b: Rectangle): number {
  return areaOf(intersection(a, b));
}

function areaOf([x1, y1, x2, y2]: Rectangle): number {
  return Math.max(x2 - x1, 0) * Math.max(y2 - y1, 0);
}
