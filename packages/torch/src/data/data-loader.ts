import { isAvailable as cudaIsAvailable } from '../cuda/device.ts';
import type { Generator } from '../random/generator.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { warn } from '../warning.ts';
import { type Collated, defaultCollate, disposeTensors, mapTensors } from './collate.ts';
import { type Samples, sample } from './dataset.ts';
import { DataError } from './errors.ts';
import { drawSeed } from './permutation.ts';
import { BatchSampler, RandomSampler, type Sampler, SequentialSampler } from './sampler.ts';

export interface DataLoaderOptions<T, B> {
  batchSize?: number;
  /** A new random order every epoch. Not together with `sampler`. */
  shuffle?: boolean;
  /** The order of an epoch, instead of `shuffle`. */
  sampler?: Sampler;
  /** Leave out a last batch that is smaller. */
  dropLast?: boolean;
  /** Makes a batch of samples. Default: `defaultCollate`. */
  collate?: (samples: T[]) => B;
  /** Batches that are fetched ahead while you work on one. Default: 0 without workers, else 2. */
  prefetch?: number;
  /**
   * How many `getItem` calls may be under way at once; 0 (the default) fetches one batch when it is asked for,
   * all its samples together. There are no threads behind it: what overlaps is the waiting of asynchronous
   * `getItem`s (files, image decoders with threads of their own). One that computes on the JavaScript thread
   * gains nothing.
   */
  numWorkers?: number;
  /** Batches in page-locked memory, so that copies to a GPU overlap with work. */
  pinMemory?: boolean;
  /** Source of the random order. Default: the default generator of the CPU. */
  generator?: Generator;
}

/**
 * Batches of a data set: `for await (const batch of loader)` is one epoch (torch.utils.data.DataLoader). With
 * equal seeds the order is the one Python gives. The tensors of a batch belong to no scope: dispose of them
 * when the step is done, or leave them to the garbage collector.
 */
export class DataLoader<T, B = Collated<T>> implements AsyncIterable<B> {
  readonly dataset: Samples<T>;
  private readonly batches: BatchSampler;
  private readonly collate: (samples: T[]) => B;
  private readonly ahead: number;
  private readonly workers: number;
  private readonly pin: boolean;
  private readonly generator: Generator | undefined;

  /** @throws DataError VALUE for options out of range or that exclude each other */
  constructor(dataset: Samples<T>, options: DataLoaderOptions<T, B> = {}) {
    const { batchSize = 1, shuffle = false, sampler, dropLast = false, numWorkers = 0 } = options;
    if (sampler !== undefined && shuffle) {
      throw new DataError('VALUE', 'sampler option is mutually exclusive with shuffle');
    }
    if (!Number.isInteger(numWorkers) || numWorkers < 0) {
      throw new DataError('VALUE', 'num_workers option should be non-negative');
    }
    const prefetch = options.prefetch ?? (numWorkers > 0 ? 2 : 0);
    if (!Number.isInteger(prefetch) || prefetch < 0) {
      throw new DataError('VALUE', 'prefetch option should be non-negative');
    }
    this.dataset = dataset;
    this.generator = options.generator;
    const order =
      sampler ??
      (shuffle ? new RandomSampler(dataset, { generator: this.generator }) : new SequentialSampler(dataset));
    this.batches = new BatchSampler(order, batchSize, dropLast);
    this.collate = options.collate ?? (defaultCollate as unknown as (samples: T[]) => B);
    this.ahead = prefetch;
    this.workers = numWorkers;
    this.pin = options.pinMemory === true && cudaIsAvailable();
    if (options.pinMemory === true && !this.pin) {
      warn(
        'PIN_MEMORY_UNUSED',
        "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't " +
          'be used.',
      );
    }
  }

  /** Batches an epoch. */
  get length(): number {
    return this.batches.length;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<B, void, undefined> {
    // Python's loader draws a base seed for its workers first; without this the order would differ from its.
    drawSeed(this.generator);
    const slots = new Slots(this.workers > 0 ? this.workers : Number.POSITIVE_INFINITY);
    const indices = this.batches[Symbol.iterator]();
    const pending: Promise<B>[] = [];
    const start = () => {
      const next = indices.next();
      if (next.done === true) return;
      const batch = this.fetch(next.value, slots);
      // A batch may fail long before its turn; its error is thrown when it is asked for.
      batch.catch(() => {});
      pending.push(batch);
    };
    try {
      while (true) {
        while (pending.length <= this.ahead) {
          const before = pending.length;
          start();
          if (pending.length === before) break;
        }
        const batch = pending.shift();
        if (batch === undefined) return;
        yield await batch;
      }
    } finally {
      slots.close();
      for (const result of await Promise.allSettled(pending)) {
        if (result.status === 'fulfilled') disposeTensors(result.value);
      }
    }
  }

  private async fetch(indices: readonly number[], slots: Slots): Promise<B> {
    const samples = await Promise.all(indices.map((index) => slots.run(() => sample(this.dataset, index))));
    return scope(() => {
      const batch = this.collate(samples);
      return this.pin ? (mapTensors(batch, (tensor: Tensor) => tensor.pinMemory()) as B) : batch;
    });
  }
}

/** Lets at most `limit` calls be under way; a finished one hands its place to the next in line. */
class Slots {
  private free: number;
  private closed = false;
  private readonly waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.free = limit;
  }

  async run<T>(call: () => T | Promise<T>): Promise<T> {
    if (this.free > 0) this.free -= 1;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (this.closed) throw new DataError('VALUE', 'the loader was left before this sample was fetched');
    try {
      return await call();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free += 1;
      else next();
    }
  }

  /** Calls that have not begun fail. */
  close(): void {
    this.closed = true;
    for (const resume of this.waiting.splice(0)) resume();
  }
}
