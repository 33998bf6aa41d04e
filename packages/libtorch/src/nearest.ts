/**
 * The names closest to a misspelled one, best first: few edits (insert, delete, replace, swap of neighbours;
 * at most a third of the length; capitals count as small letters), or the word is the beginning or a part between `_` of a name.
 */
export function nearestNames(word: string, names: Iterable<string>, limit = 3): string[] {
  const wanted = word.toLowerCase();
  const ranked: { name: string; cost: number }[] = [];
  for (const name of names) {
    const known = name.toLowerCase();
    const edits = editDistance(wanted, known);
    const allowed = Math.max(1, Math.floor(Math.max(wanted.length, name.length) / 3));
    if (edits <= allowed) ranked.push({ name, cost: edits });
    else if (wanted.length >= 3 && isPart(wanted, known)) ranked.push({ name, cost: allowed + 1 });
  }
  return ranked
    .sort((a, b) => a.cost - b.cost || a.name.localeCompare(b.name))
    .slice(0, limit)
    .map(({ name }) => name);
}

/** ` did you mean …?` for an error message, or nothing. */
export function didYouMean(word: string, names: Iterable<string>): string {
  const near = nearestNames(word, names).map((name) => `'${name}'`);
  return near.length === 0 ? '' : `; did you mean ${near.join(' or ')}?`;
}

function isPart(word: string, name: string): boolean {
  return name.startsWith(word) || word.startsWith(name) || name.split('_').includes(word);
}

/** Optimal string alignment distance (Damerau 1964, adjacent swaps only). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(replace, above[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, before[j - 2]! + 1);
      }
      row.push(cost);
    }
    before = above;
    above = row;
  }
  return above[b.length]!;
}
