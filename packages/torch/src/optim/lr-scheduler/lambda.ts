import { OptimizerError } from '../errors.ts';
import type { Optimizer } from '../optimizer.ts';
import { LRScheduler, type PerGroup } from './scheduler.ts';

/** A factor for an epoch (0, 1, …). */
export type LrLambda = (epoch: number) => number;

/** lr = base · lambda(epoch). The functions themselves are not part of the state. */
export class LambdaLR extends LRScheduler {
  private readonly lambdas: readonly LrLambda[];

  constructor(optimizer: Optimizer, lrLambda: PerGroup<LrLambda>, lastEpoch = -1) {
    super(optimizer, lastEpoch);
    this.lambdas = lambdas(optimizer, lrLambda);
    this.begin();
  }

  protected override getLr(): number[] {
    return this.baseLrs.map((base, i) => base * this.lambdas[i]!(this.lastEpoch));
  }
}

/** lr ← lr · lambda(epoch) at every step. */
export class MultiplicativeLR extends LRScheduler {
  private readonly lambdas: readonly LrLambda[];

  constructor(optimizer: Optimizer, lrLambda: PerGroup<LrLambda>, lastEpoch = -1) {
    super(optimizer, lastEpoch);
    this.lambdas = lambdas(optimizer, lrLambda);
    this.begin();
  }

  protected override getLr(): number[] {
    if (this.isInitial) return this.currentLr();
    return this.currentLr().map((lr, i) => lr * this.lambdas[i]!(this.lastEpoch));
  }
}

function lambdas(optimizer: Optimizer, lrLambda: PerGroup<LrLambda>): LrLambda[] {
  const groups = optimizer.paramGroups.length;
  if (typeof lrLambda === 'function') return new Array<LrLambda>(groups).fill(lrLambda);
  if (lrLambda.length !== groups) {
    throw new OptimizerError('VALUE', `Expected ${groups} lr_lambdas, but got ${lrLambda.length}`);
  }
  return [...lrLambda];
}
