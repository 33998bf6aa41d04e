import type { Generator } from '../random/generator.ts';
import { warn } from '../warning.ts';
import { type Samples, Subset } from './dataset.ts';
import { DataError } from './errors.ts';
import { permutation } from './permutation.ts';

/**
 * Disjoint random subsets of the given lengths, or fractions that sum to 1 (rounded down, the rest dealt out
 * one by one). With equal seeds the same split as torch.utils.data.random_split.
 * @throws DataError VALUE when the lengths do not add up
 */
export function randomSplit<T>(
  dataset: Samples<T>,
  lengths: readonly number[],
  options: { generator?: Generator } = {},
): Subset<T>[] {
  const counts = asCounts(lengths, dataset.length);
  if (counts.reduce((sum, count) => sum + count, 0) !== dataset.length) {
    throw new DataError('VALUE', 'Sum of input lengths does not equal the length of the input dataset!');
  }
  const order = permutation(dataset.length, options.generator);
  let start = 0;
  return counts.map((count) => {
    start += count;
    return new Subset(dataset, order.slice(start - count, start));
  });
}

function asCounts(lengths: readonly number[], total: number): number[] {
  const sum = lengths.reduce((a, b) => a + b, 0);
  if (Math.abs(sum - 1) > 1e-9 || sum > 1) return [...lengths];
  const counts = lengths.map((fraction, i) => {
    if (fraction < 0 || fraction > 1) {
      throw new DataError('VALUE', `Fraction at index ${i} is not between 0 and 1`);
    }
    return Math.floor(total * fraction);
  });
  const left = total - counts.reduce((a, b) => a + b, 0);
  for (let i = 0; i < left; i++) counts[i % counts.length]! += 1;
  counts.forEach((count, i) => {
    if (count === 0) {
      warn('EMPTY_SPLIT', `Length of split at index ${i} is 0. This might result in an empty dataset.`);
    }
  });
  return counts;
}
