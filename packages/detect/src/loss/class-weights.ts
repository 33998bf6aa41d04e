/**
 * How much each class counts in the class loss (`cls_pw`): its frequency to the power of -`power`, with a mean of 1 over the
 * classes that occur; the others count 1. null: all alike.
 * @param counts objects of each class in the training set
 */
export function classWeights(counts: readonly number[], power: number): number[] | null {
  if (power === 0) return null;
  const inverse = counts.map((count) => (count === 0 ? 0 : count ** -power));
  const present = inverse.filter((weight) => weight > 0);
  const mean = present.reduce((sum, weight) => sum + weight, 0) / present.length;
  return inverse.map((weight) => (weight === 0 ? 1 : weight / mean));
}

const LABEL_COLUMNS = 5;

/** Objects of each class in label rows `class cx cy w h`. */
export function classCounts(labels: readonly Float32Array[], classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const rows of labels) {
    for (let row = 0; row < rows.length; row += LABEL_COLUMNS) counts[rows[row]!]! += 1;
  }
  return counts;
}
