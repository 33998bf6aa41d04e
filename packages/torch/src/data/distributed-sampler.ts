import { defaultGroup, isInitialized } from '../distributed/group.ts';
import { Generator } from '../random/generator.ts';
import { DataError } from './errors.ts';
import { permutation } from './permutation.ts';
import type { Sampler } from './sampler.ts';

export interface DistributedSamplerOptions {
  /** Default: the size of the process group. */
  numReplicas?: number;
  /** Default: this process's rank. */
  rank?: number;
  /** A new order every epoch that `setEpoch` names (the default), the same on all ranks. */
  shuffle?: boolean;
  seed?: number;
  /** Leave out the tail that not every rank has a share of; otherwise the first samples fill it up. */
  dropLast?: boolean;
}

/**
 * One rank's share of every epoch: with all ranks' shares in turn, the order is that of
 * torch.utils.data.DistributedSampler for the same seed and epoch.
 */
export class DistributedSampler implements Sampler {
  /** Samples of this rank an epoch, equal on all ranks. */
  readonly length: number;
  private readonly samples: { readonly length: number };
  private readonly numReplicas: number;
  private readonly rank: number;
  private readonly shuffle: boolean;
  private readonly seed: number;
  private readonly dropLast: boolean;
  private epoch = 0;

  /** @throws DataError VALUE for a rank outside the replicas or no samples */
  constructor(samples: { readonly length: number }, options: DistributedSamplerOptions = {}) {
    const group = isInitialized() ? defaultGroup() : undefined;
    const numReplicas = options.numReplicas ?? group?.size;
    const rank = options.rank ?? group?.rank;
    if (numReplicas === undefined || rank === undefined) {
      throw new DataError(
        'VALUE',
        'DistributedSampler: pass numReplicas and rank, or initProcessGroup first',
      );
    }
    if (!Number.isInteger(numReplicas) || numReplicas < 1) {
      throw new DataError('VALUE', `numReplicas must be a positive integer, got ${numReplicas}`);
    }
    if (!Number.isInteger(rank) || rank < 0 || rank >= numReplicas) {
      throw new DataError(
        'VALUE',
        `Invalid rank ${rank}, rank should be in the interval [0, ${numReplicas - 1}]`,
      );
    }
    if (samples.length <= 0) {
      throw new DataError('VALUE', `DistributedSampler: expected samples, got ${samples.length}`);
    }
    this.samples = samples;
    this.numReplicas = numReplicas;
    this.rank = rank;
    this.shuffle = options.shuffle ?? true;
    this.seed = options.seed ?? 0;
    this.dropLast = options.dropLast ?? false;
    const share = samples.length / numReplicas;
    this.length = this.dropLast ? Math.floor(share) : Math.ceil(share);
  }

  /** Call it before each epoch, with the same number on every rank; without, the order repeats itself. */
  setEpoch(epoch: number): void {
    this.epoch = epoch;
  }

  *[Symbol.iterator](): Iterator<number> {
    const order = this.order();
    for (let i = 0; i < this.length; i++) {
      yield order[(this.rank + i * this.numReplicas) % order.length]!;
    }
  }

  private order(): number[] {
    if (!this.shuffle) return Array.from({ length: this.samples.length }, (_, i) => i);
    const generator = new Generator().manualSeed(this.seed + this.epoch);
    const order = permutation(this.samples.length, generator);
    generator.dispose();
    return order;
  }
}
