/** The pictures of a split in the form that a network takes. */
import type { Modality } from '../../augment/pair-draw.ts';
import type { DataSet, SplitName } from '../data-yaml.ts';
import { type ScanOptions, type Split, scanSplit, scanWarnings } from '../scan.ts';
import { hasPartners } from './partners.ts';
import { modalityOf, pairWarnings, scanPairs } from './scan-pairs.ts';

/**
 * What a network is shown: the pictures of a data set (`thermal`: which are infrared), its pairs, or the pictures of one
 * sensor of its pairs.
 */
export type Shown = 'pictures' | 'thermal' | 'pairs' | Modality;

/** What a network that saw one sensor is shown of a split: that sensor's pictures, or all where there are no pairs. */
export async function shownOf(data: DataSet, name: SplitName, modality: Modality): Promise<Shown> {
  if (await hasPartners(data, name)) return modality;
  return modality === 'infrared' ? 'thermal' : 'pictures';
}

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
  if (shown === 'pictures' || shown === 'thermal') {
    const split = await scanSplit(data, name, options);
    const thermal = shown === 'thermal';
    const images = thermal ? split.images.map((image) => ({ ...image, thermal })) : split.images;
    return { split: { ...split, images }, warnings: scanWarnings(name, split.report) };
  }
  const pairs = await scanPairs(data, name, options);
  const warnings = pairWarnings(name, pairs.report);
  return { split: shown === 'pairs' ? pairs : modalityOf(pairs, shown), warnings };
}
