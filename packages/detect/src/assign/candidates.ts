import { anchorCount, type Level } from '../models/anchors.ts';

/** Which boxes own an anchor for assignment: see {@link enumerateCandidates}. */
export type CentreRule = 'noInflate' | 'inflate16';

/** Ground-truth boxes of a batch on the host, in the order of the label rows. */
export interface Targets {
  readonly count: number;
  /** Index of the image in the batch. */
  readonly image: Int32Array;
  readonly cls: Int32Array;
  /** [count, 4] corners x1, y1, x2, y2 in pixels of the network's input. */
  readonly boxes: Float32Array;
}

/** All (box, anchor) pairs whose anchor centre lies in the box, box by box. */
export interface Candidates {
  /** Pairs in all. */
  readonly count: number;
  /** Pairs of the box that has most. */
  readonly widest: number;
  /** [4, count] rows: anchor (image · A + a), target, place in a table [targets, widest], class of the target. */
  readonly pairs: Int32Array;
  /** First pair of each target. */
  readonly starts: Int32Array;
}

/** Side, in pixels, that `inflate16` gives to smaller boxes: the second stride. */
const INFLATED_SIDE = 16;

/**
 * Lists the candidates of every target: anchors whose centre is strictly inside the box. `inflate16` enlarges
 * sides below 16 px to 16 around the centre for this test only, so that a box between the centres is not lost.
 *
 * The list replaces the usual targets x anchors tables: boxes are known on the host, most anchors lie outside
 * most boxes, and so the device works on a few per cent of the pairs.
 */
export function enumerateCandidates(
  targets: Targets,
  levels: readonly Level[],
  rule: CentreRule,
): Candidates {
  const anchors = anchorCount(levels);
  const starts = new Int32Array(targets.count);
  const spans = Array.from({ length: targets.count }, (_, target) =>
    spansOf(targets.boxes, target, levels, rule),
  );
  let count = 0;
  let widest = 0;
  spans.forEach((levelSpans, target) => {
    starts[target] = count;
    const size = levelSpans.reduce((sum, span) => sum + span.rows * span.columns, 0);
    count += size;
    widest = Math.max(widest, size);
  });

  const pairs = new Int32Array(4 * count);
  const [anchorRow, targetRow, placeRow, classRow] = [0, count, 2 * count, 3 * count];
  spans.forEach((levelSpans, target) => {
    const cls = targets.cls[target]!;
    const image = targets.image[target]! * anchors;
    let pair = starts[target]!;
    let place = target * widest;
    for (const { first, rows, columns, width } of levelSpans) {
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, pair++, place++) {
          pairs[anchorRow + pair] = image + first + row * width + column;
          pairs[targetRow + pair] = target;
          pairs[placeRow + pair] = place;
          pairs[classRow + pair] = cls;
        }
      }
    }
  });
  return { count, widest, pairs, starts };
}

/** A rectangle of cells of one level: its first anchor, and the level's width to step from row to row. */
interface Span {
  first: number;
  rows: number;
  columns: number;
  width: number;
}

function spansOf(boxes: Float32Array, target: number, levels: readonly Level[], rule: CentreRule): Span[] {
  const sides = (axis: 0 | 1): [low: number, high: number] => {
    const [low, high] = [boxes[4 * target + axis]!, boxes[4 * target + axis + 2]!];
    return rule === 'inflate16' ? inflate(low, high) : [low, high];
  };
  const [left, right] = sides(0);
  const [top, bottom] = sides(1);
  let offset = 0;
  return levels.map(({ width, height, stride }) => {
    const [column, columns] = cellsBetween(left, right, stride, width);
    const [row, rows] = cellsBetween(top, bottom, stride, height);
    const first = offset + row * width + column;
    offset += width * height;
    return { first, rows, columns, width };
  });
}

function inflate(low: number, high: number): [number, number] {
  if (high - low >= INFLATED_SIDE) return [low, high];
  const centre = Math.fround(Math.fround(low + high) / 2);
  return [centre - INFLATED_SIDE / 2, centre + INFLATED_SIDE / 2];
}

/** First index and number of the cells whose centre (i + 0.5)·stride lies strictly between `low` and `high`. */
function cellsBetween(
  low: number,
  high: number,
  stride: number,
  cells: number,
): [first: number, count: number] {
  const first = Math.max(Math.floor(low / stride - 0.5) + 1, 0);
  const end = Math.min(Math.ceil(high / stride - 0.5), cells);
  return [first, Math.max(end - first, 0)];
}
