/** How much boxes have in common. */
import type { Box } from './canvas.ts';

function area([x1, y1, x2, y2]: Box): number {
  return Math.max(0, x2 - x1) * Math.max(0, y2 - y1);
}

function common(a: Box, b: Box): number {
  return area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
}

/** Part of the smaller box that lies in the other. */
export function overlap(a: Box, b: Box): number {
  return common(a, b) / Math.min(area(a), area(b));
}

/** Part of a box that lies in the picture. */
export function insideShare(box: Box): number {
  return common(box, [0, 0, 1, 1]) / area(box);
}

/** Part of a box that others cover, counted double where they overlap. */
export function hidden(box: Box, others: readonly Box[]): number {
  return others.reduce((sum, other) => sum + common(box, other), 0) / area(box);
}
