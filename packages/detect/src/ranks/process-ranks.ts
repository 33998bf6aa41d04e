import { distributed, noGrad, scope, type Tensor, tensor } from '@mezzo/torch';
import type { LossResult, SharedBatch } from '../loss/criterion.ts';
import type { DetectionModel } from '../models/build.ts';
import type { HeadMaps } from '../models/decode.ts';
import { firstRankDid, firstRankDoes } from './first-rank.ts';
import type { Ranks, Trained } from './ranks.ts';

/** The ranks of the process group that this process is in. */
export class ProcessRanks implements Ranks {
  readonly rank = distributed.getRank();
  readonly size = distributed.getWorldSize();

  wrap(model: DetectionModel): Trained {
    const parallel = new distributed.DistributedDataParallel(model);
    return {
      module: parallel,
      forward: (input) => parallel.forward(input) as HeadMaps,
      accumulate: (pass) => parallel.noSync(pass),
    };
  }

  batch(pictures: number): SharedBatch {
    return {
      pictures,
      sum: (values) => {
        noGrad(() => distributed.allReduce(values));
        return values;
      },
      total: (values) => this.sum(values),
    };
  }

  /** The exchange gives the mean of the ranks' gradients, and each has a part of the loss: as many times that. */
  objective({ total, assignment }: LossResult, maps: HeadMaps): Tensor {
    const whole = total.mul(this.size);
    // The exchange waits for a gradient of every parameter, and without boxes nothing leads to some.
    return assignment === null ? maps.box.reduce((sum, map) => sum.add(nothingOf(map)), whole) : whole;
  }

  sum(values: readonly number[]): number[] {
    return this.reduced(values, distributed.ReduceOp.SUM);
  }

  any(flags: readonly boolean[]): boolean[] {
    return this.reduced(flags.map(Number), distributed.ReduceOp.MAX).map(Boolean);
  }

  gather<T>(value: T): T[] {
    return distributed.allGatherObject(value);
  }

  fromFirst<T>(work: () => Promise<T>): Promise<T> {
    return this.rank === 0 ? firstRankDoes(work) : firstRankDid<T>();
  }

  private reduced(values: readonly number[], op: distributed.ReduceOp): number[] {
    return scope(() => {
      const all = tensor(Float64Array.from(values));
      distributed.allReduce(all, { op });
      return Array.from(all.toTypedArray() as Float64Array);
    });
  }
}

/** Zero, with a gradient of zeros, whatever the map holds. */
const nothingOf = (map: Tensor): Tensor => map.narrow(0, 0, 0).float().sum();
