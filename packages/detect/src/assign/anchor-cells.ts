import type { Level } from '../models/anchors.ts';

/** Which anchor boxes of one level learn which targets; M matches. */
export interface AnchorMatches {
  readonly count: number;
  /** [M] place in a map [B, n, h, w]. */
  readonly place: Int32Array;
  /** [M] anchor box of the cell, 0 … n-1. */
  readonly anchor: Int32Array;
  /** [M] image in the batch. */
  readonly image: Int32Array;
  /** [M] class. */
  readonly cls: Int32Array;
  /** [M, 4] centre relative to the cell, and sides, in cells. */
  readonly boxes: Float32Array;
}

/** Label rows: image, class, centre x, centre y, width, height (relative to the image). */
const COLUMNS = 6;

/**
 * YOLOv5's assignment on one level. A target is learned by every anchor box whose sides differ from its own by less
 * than the factor `limit`, in the cell of its centre, and in the nearest cell beside and the nearest above or below.
 * @param anchors sides of the level's anchor boxes in cells: width, height, width, …
 */
export function matchAnchors(
  rows: Float32Array,
  level: Pick<Level, 'height' | 'width'>,
  anchors: readonly number[],
  limit: number,
): AnchorMatches {
  const perCell = anchors.length / 2;
  const { height, width } = level;
  const found: { place: number[]; anchor: number[]; image: number[]; cls: number[]; boxes: number[] } = {
    place: [],
    anchor: [],
    image: [],
    cls: [],
    boxes: [],
  };
  for (let row = 0; row < rows.length; row += COLUMNS) {
    const [image, cls] = [rows[row]!, rows[row + 1]!];
    const [x, w] = [rows[row + 2]! * width, rows[row + 4]! * width];
    const [y, h] = [rows[row + 3]! * height, rows[row + 5]! * height];
    const cells = neighbours(x, y, level);
    for (let anchor = 0; anchor < perCell; anchor++) {
      if (!alike(w / anchors[2 * anchor]!, h / anchors[2 * anchor + 1]!, limit)) continue;
      for (const [column, line] of cells) {
        found.place.push(((image * perCell + anchor) * height + line) * width + column);
        found.anchor.push(anchor);
        found.image.push(image);
        found.cls.push(cls);
        found.boxes.push(x - column, y - line, w, h);
      }
    }
  }
  return {
    count: found.place.length,
    place: Int32Array.from(found.place),
    anchor: Int32Array.from(found.anchor),
    image: Int32Array.from(found.image),
    cls: Int32Array.from(found.cls),
    boxes: Float32Array.from(found.boxes),
  };
}

/** Sides that differ by less than the factor, in both directions. A side of 0 is like none. */
export function alike(widthRatio: number, heightRatio: number, limit: number): boolean {
  return Math.max(widthRatio, 1 / widthRatio, heightRatio, 1 / heightRatio) < limit;
}

/** The cell of a centre, the nearer one beside it and the nearer one above or below, as far as the map has them. */
function neighbours(
  x: number,
  y: number,
  { height, width }: Pick<Level, 'height' | 'width'>,
): [number, number][] {
  const column = clamp(Math.floor(x), width);
  const line = clamp(Math.floor(y), height);
  const cells: [number, number][] = [[column, line]];
  const beside = neighbour(x, width);
  const next = neighbour(y, height);
  if (beside !== null) cells.push([beside, line]);
  if (next !== null) cells.push([column, next]);
  return cells;
}

/** Along one axis, the cell whose middle is second nearest; null in the middle of a cell, and beyond the edge. */
function neighbour(position: number, count: number): number | null {
  if (position % 1 < 0.5 && position > 1) return clamp(Math.floor(position - 0.5), count);
  if ((count - position) % 1 < 0.5 && count - position > 1) return clamp(Math.floor(position + 0.5), count);
  return null;
}

const clamp = (cell: number, count: number): number => Math.min(Math.max(cell, 0), count - 1);
