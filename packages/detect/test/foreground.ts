import type { Assignment } from '../src/assign/task-aligned.ts';
import { values } from './golden.ts';

/** Anchors that each target owns, image by image in the order of the label rows, padded with 0 to equal length. */
export function foregroundPerTarget(
  assignment: Assignment | null,
  rows: readonly (readonly number[])[],
): number[][] {
  const counts = rows.map(() => 0);
  if (assignment !== null) {
    const target = values(assignment.target);
    values(assignment.used).forEach((used, slot) => {
      counts[target[slot]!]! += used;
    });
  }
  const images = Math.max(...rows.map((row) => row[0]!)) + 1;
  const perImage = Array.from({ length: images }, (_, image) =>
    counts.filter((_count, i) => rows[i]![0] === image),
  );
  const most = Math.max(...perImage.map((each) => each.length));
  return perImage.map((each) => [...each, ...new Array<number>(most - each.length).fill(0)]);
}
