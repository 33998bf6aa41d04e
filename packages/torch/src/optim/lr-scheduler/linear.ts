import { OptimizerError } from '../errors.ts';
import type { Optimizer } from '../optimizer.ts';
import { LRScheduler } from './scheduler.ts';

export interface LinearLROptions {
  /** Factor at the first step, in (0, 1]. */
  startFactor?: number;
  /** Factor from `totalIters` on, in [0, 1]. */
  endFactor?: number;
  totalIters?: number;
  lastEpoch?: number;
}

/** base · factor, where the factor goes in a straight line from `startFactor` to `endFactor`. */
export class LinearLR extends LRScheduler {
  startFactor: number;
  endFactor: number;
  totalIters: number;

  constructor(optimizer: Optimizer, options: LinearLROptions = {}) {
    const { startFactor = 1 / 3, endFactor = 1, totalIters = 5, lastEpoch = -1 } = options;
    if (startFactor > 1 || startFactor <= 0) {
      throw new OptimizerError(
        'VALUE',
        'Starting multiplicative factor expected to be greater than 0 and less or equal to 1.',
      );
    }
    if (endFactor > 1 || endFactor < 0) {
      throw new OptimizerError('VALUE', 'Ending multiplicative factor expected to be between 0 and 1.');
    }
    super(optimizer, lastEpoch);
    this.startFactor = startFactor;
    this.endFactor = endFactor;
    this.totalIters = totalIters;
    this.begin();
  }

  protected override getLr(): number[] {
    const { startFactor, endFactor, totalIters, lastEpoch } = this;
    if (lastEpoch === 0) return this.currentLr().map((lr) => lr * startFactor);
    if (this.isInitial || lastEpoch > totalIters) return this.currentLr();
    const rise = endFactor - startFactor;
    return this.currentLr().map(
      (lr) => lr * (1 + rise / (totalIters * startFactor + (lastEpoch - 1) * rise)),
    );
  }

  protected override closedFormLr(): number[] {
    const { startFactor, endFactor, totalIters } = this;
    const done = Math.min(totalIters, this.lastEpoch);
    return this.baseLrs.map((base) => base * (startFactor + ((endFactor - startFactor) * done) / totalIters));
  }

  protected override stateNames() {
    return [
      ['start_factor', 'startFactor'] as const,
      ['end_factor', 'endFactor'] as const,
      ['total_iters', 'totalIters'] as const,
      ...super.stateNames(),
    ];
  }
}
