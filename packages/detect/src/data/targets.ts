export const TARGET_COLUMNS = 6;

/** Joins the label rows `class cx cy w h` of a batch's pictures into rows `picture class cx cy w h`. */
export function writeTargets(labels: readonly Float32Array[]): Float32Array {
  const rows = labels.reduce((count, { length }) => count + length / 5, 0);
  const targets = new Float32Array(rows * TARGET_COLUMNS);
  let at = 0;
  for (const [picture, values] of labels.entries()) {
    for (let i = 0; i < values.length; i += 5) {
      targets[at] = picture;
      targets.set(values.subarray(i, i + 5), at + 1);
      at += TARGET_COLUMNS;
    }
  }
  return targets;
}
