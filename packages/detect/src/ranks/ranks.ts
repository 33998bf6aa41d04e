import type { nn, Tensor } from '@mezzo/torch';
import type { Share } from '../data/shares.ts';
import type { LossResult, SharedBatch } from '../loss/criterion.ts';
import type { DetectionModel } from '../models/build.ts';
import type { HeadMaps } from '../models/decode.ts';

/** A model as a training step runs it. */
export interface Trained {
  /** What the transaction of a step takes as its model. */
  readonly module: nn.Module;
  forward(input: Tensor): HeadMaps;
  /** Runs a forward and backward pass whose gradients are only added up, to be used with those of later passes. */
  accumulate<T>(pass: () => T): T;
}

/**
 * The processes that train one model together, as each of them sees them. A rank alone has everything as it is. With
 * several, every method is a meeting: all ranks call it, in the same order.
 */
export interface Ranks extends Share {
  /** @throws DistributedError VALUE where the ranks' models differ */
  wrap(model: DetectionModel): Trained;
  /** The part that this rank has of a batch of so many pictures, for the loss; undefined where it has all. */
  batch(pictures: number): SharedBatch | undefined;
  /** What this rank is to differentiate, so that all ranks' gradients together are those of the whole batch. */
  objective(result: LossResult, maps: HeadMaps): Tensor;
  /** The sums over the ranks. */
  sum(values: readonly number[]): number[];
  /** For each flag, whether it is up on any rank. */
  any(flags: readonly boolean[]): boolean[];
  /** Every rank's value, by rank. */
  gather<T>(value: T): T[];
  /** What the first rank's `work` gives or throws, on every rank; the others wait as long as it takes. */
  fromFirst<T>(work: () => Promise<T>): Promise<T>;
}

/** The only process. */
export const ALONE: Ranks = {
  rank: 0,
  size: 1,
  wrap: (model) => ({
    module: model,
    forward: (input) => model.forward(input) as HeadMaps,
    accumulate: (pass) => pass(),
  }),
  batch: () => undefined,
  objective: ({ total }) => total,
  sum: (values) => [...values],
  any: (flags) => [...flags],
  gather: (value) => [value],
  fromFirst: (work) => work(),
};
