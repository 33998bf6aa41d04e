/** How many symbols to insert, leave out or exchange until one row reads like the other (Levenshtein). */
export function editDistance(from: readonly number[], to: readonly number[]): number {
  let row = [0, ...to.map((_, j) => j + 1)];
  for (const [i, symbol] of from.entries()) {
    const next = [i + 1];
    for (const [j, other] of to.entries()) {
      next.push(Math.min(row[j]! + Number(symbol !== other), row[j + 1]! + 1, next[j]! + 1));
    }
    row = next;
  }
  return row.at(-1)!;
}
