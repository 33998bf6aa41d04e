import { Generator } from '../random/generator.ts';
import { DataError } from './errors.ts';
import { drawSeed, permutation } from './permutation.ts';

/** The order of one epoch: every iteration is a new one. */
export interface Sampler extends Iterable<number> {
  readonly length: number;
}

/** 0, 1, 2 … */
export class SequentialSampler implements Sampler {
  readonly length: number;

  constructor(samples: { readonly length: number }) {
    this.length = samples.length;
  }

  *[Symbol.iterator](): Iterator<number> {
    for (let i = 0; i < this.length; i++) yield i;
  }
}

/**
 * A new random order every epoch, the one that torch.utils.data.RandomSampler gives for the same seed. Without
 * a generator of its own, each epoch takes a seed from the default one.
 */
export class RandomSampler implements Sampler {
  readonly length: number;
  private readonly generator: Generator | undefined;

  /** @throws DataError VALUE when there are no samples */
  constructor(samples: { readonly length: number }, options: { generator?: Generator } = {}) {
    if (samples.length <= 0) {
      throw new DataError(
        'VALUE',
        `num_samples should be a positive integer value, but got num_samples=${samples.length}`,
      );
    }
    this.length = samples.length;
    this.generator = options.generator;
  }

  *[Symbol.iterator](): Iterator<number> {
    if (this.generator !== undefined) {
      yield* permutation(this.length, this.generator);
      // Python's sampler draws once more at the end of an epoch; the next one would differ without.
      permutation(this.length, this.generator);
      return;
    }
    const generator = new Generator().manualSeed(drawSeed());
    const order = permutation(this.length, generator);
    generator.dispose();
    yield* order;
  }
}

/** Groups of `batchSize` indices; the last may be smaller unless it is dropped. */
export class BatchSampler implements Iterable<number[]> {
  readonly length: number;
  private readonly sampler: Sampler;
  private readonly batchSize: number;
  private readonly dropLast: boolean;

  /** @throws DataError VALUE for a batch size that is no positive integer */
  constructor(sampler: Sampler, batchSize: number, dropLast: boolean) {
    if (!Number.isInteger(batchSize) || batchSize <= 0) {
      throw new DataError(
        'VALUE',
        `batch_size should be a positive integer value, but got batch_size=${batchSize}`,
      );
    }
    this.sampler = sampler;
    this.batchSize = batchSize;
    this.dropLast = dropLast;
    this.length = dropLast ? Math.floor(sampler.length / batchSize) : Math.ceil(sampler.length / batchSize);
  }

  *[Symbol.iterator](): Iterator<number[]> {
    let batch: number[] = [];
    for (const index of this.sampler) {
      batch.push(index);
      if (batch.length < this.batchSize) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0 && !this.dropLast) yield batch;
  }
}
