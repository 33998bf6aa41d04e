/** The pictures of a split in the form that a network takes. */
import type { Modality } from '../../augment/pair-draw.ts';
import type { DataSet, SplitName } from '../data-yaml.ts';
import { type ScanOptions, type Split, scanSplit, scanWarnings } from '../scan.ts';
import { modalityOf, pairWarnings, scanPairs } from './scan-pairs.ts';

/** What a network is shown: the pictures of a data set, its pairs, or the pictures of one sensor of its pairs. */
export type Shown = 'pictures' | 'pairs' | Modality;

/**
 * Finds and checks the pictures of a split, and what a person should know about them.
 * @throws {DataError} as {@link scanSplit} and {@link scanPairs}
 */
export async function openSplit(
  data: DataSet,
  name: SplitName,
  shown: Shown,
  options: ScanOptions = {},
): Promise<{ split: Split; warnings: string[] }> {
  if (shown === 'pictures') {
    const split = await scanSplit(data, name, options);
    return { split, warnings: scanWarnings(name, split.report) };
  }
  const pairs = await scanPairs(data, name, options);
  const warnings = pairWarnings(name, pairs.report);
  return { split: shown === 'pairs' ? pairs : modalityOf(pairs, shown), warnings };
}
