import type { Tensor } from '../tensor/tensor.ts';
import { DataError } from './errors.ts';

/** A list of samples. `getItem` may be asynchronous; then a DataLoader overlaps the waits. */
export abstract class Dataset<T> {
  abstract readonly length: number;

  /** The sample of an index in [0, length). */
  abstract getItem(index: number): T | Promise<T>;
}

/** Samples are the slices of tensors along their first dimension: getItem(i) = [a[i], b[i], …] as views. */
export class TensorDataset extends Dataset<Tensor[]> {
  readonly tensors: readonly Tensor[];
  readonly length: number;

  /** @throws DataError VALUE when first dimensions differ */
  constructor(...tensors: Tensor[]) {
    super();
    this.tensors = tensors;
    this.length = tensors[0]?.size(0) ?? 0;
    if (tensors.some((tensor) => tensor.size(0) !== this.length)) {
      throw new DataError('VALUE', 'Size mismatch between tensors');
    }
  }

  getItem(index: number): Tensor[] {
    return this.tensors.map((tensor) => tensor.select(0, index));
  }
}

/** The samples of another data set at the given indices. */
export class Subset<T> extends Dataset<T> {
  readonly dataset: Samples<T>;
  readonly indices: readonly number[];

  constructor(dataset: Samples<T>, indices: readonly number[]) {
    super();
    this.dataset = dataset;
    this.indices = indices;
  }

  get length(): number {
    return this.indices.length;
  }

  getItem(index: number): T | Promise<T> {
    const target = this.indices[index];
    if (target === undefined) throw new DataError('INDEX', `Subset: index ${index} out of ${this.length}`);
    return sample(this.dataset, target);
  }
}

/** Several data sets one after the other. */
export class ConcatDataset<T> extends Dataset<T> {
  readonly datasets: readonly Samples<T>[];

  /** @throws DataError VALUE for an empty list */
  constructor(datasets: Iterable<Samples<T>>) {
    super();
    this.datasets = [...datasets];
    if (this.datasets.length === 0) {
      throw new DataError('VALUE', 'datasets should not be an empty iterable');
    }
  }

  get length(): number {
    return this.datasets.reduce((sum, { length }) => sum + length, 0);
  }

  getItem(index: number): T | Promise<T> {
    let rest = index;
    for (const dataset of this.datasets) {
      if (rest < dataset.length) return sample(dataset, rest);
      rest -= dataset.length;
    }
    throw new DataError('INDEX', `ConcatDataset: index ${index} out of ${this.length}`);
  }
}

/** What a loader takes: a data set, or a plain array of samples. */
export type Samples<T> = Dataset<T> | readonly T[];

export function sample<T>(samples: Samples<T>, index: number): T | Promise<T> {
  return samples instanceof Dataset ? samples.getItem(index) : samples[index]!;
}
