import { randperm, scope } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import { type Arrays, arraysOf, batchOf, countOf, type Data } from './data.ts';

/** A batch as a data set gives it: [x, y] or [x, y, sampleWeight]. */
export type DataBatch = readonly [x: Data | readonly Data[], y?: Data | null, sampleWeight?: Data | null];

/** Batches, again and again: a data loader, or a generator's object with `Symbol.iterator`. */
export type DataSet = Iterable<DataBatch> | AsyncIterable<DataBatch>;

/** Where an epoch's batches come from. */
export interface Source {
  /** Batches of an epoch; null when nobody knows before its end. */
  readonly steps: number | null;
  batches(): Iterable<Arrays> | AsyncIterable<Arrays>;
}

/** Arrays cut into batches, in a new order each time when `shuffle`d by PyTorch's random stream. */
export function arraySource(arrays: Arrays, batchSize: number, shuffle: boolean): Source {
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new KerasError('BAD_OPTION', `batchSize must be a whole number above 0, not ${batchSize}`);
  }
  const samples = countOf(arrays);
  return {
    steps: Math.ceil(samples / batchSize),
    *batches() {
      const order = shuffle ? randperm(samples, { device: arrays.x[0]!.device }) : null;
      try {
        for (let from = 0; from < samples; from += batchSize) {
          const batch = scope(() => batchOf(arrays, from, Math.min(from + batchSize, samples), order));
          try {
            yield batch;
          } finally {
            for (const part of [...batch.x, batch.y, batch.weight]) part?.dispose();
          }
        }
      } finally {
        order?.dispose();
      }
    },
  };
}

/** @param several whether the model takes a list of inputs */
export const dataSetSource = (data: DataSet, several: boolean): Source => ({
  steps: null,
  async *batches() {
    for await (const [x, y = null, weight = null] of data) yield arraysOf(x, y, weight, several);
  },
});
