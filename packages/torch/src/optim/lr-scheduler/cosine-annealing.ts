import type { Optimizer } from '../optimizer.ts';
import { LRScheduler } from './scheduler.ts';

/**
 * etaMin + (base - etaMin) · (1 + cos(pi · epoch / tMax)) / 2, in the recurrent form of PyTorch, which keeps
 * changes that others make to the rates (SGDR, arXiv 1608.03983, without restarts).
 */
export class CosineAnnealingLR extends LRScheduler {
  tMax: number;
  etaMin: number;

  constructor(optimizer: Optimizer, tMax: number, { etaMin = 0, lastEpoch = -1 } = {}) {
    super(optimizer, lastEpoch);
    this.tMax = tMax;
    this.etaMin = etaMin;
    this.begin();
  }

  protected override getLr(): number[] {
    const { etaMin, tMax, lastEpoch } = this;
    if (this.isInitial) return this.currentLr();
    if (this.stepCount === 1 && lastEpoch > 0) return this.closedFormLr();
    // At the turning point the recurrence would divide by zero.
    if ((lastEpoch - 1 - tMax) % (2 * tMax) === 0) {
      const rise = (1 - Math.cos(Math.PI / tMax)) / 2;
      return this.currentLr().map((lr, i) => lr + (this.baseLrs[i]! - etaMin) * rise);
    }
    const ratio =
      (1 + Math.cos((Math.PI * lastEpoch) / tMax)) / (1 + Math.cos((Math.PI * (lastEpoch - 1)) / tMax));
    return this.currentLr().map((lr) => ratio * (lr - etaMin) + etaMin);
  }

  protected override closedFormLr(): number[] {
    const { etaMin, tMax, lastEpoch } = this;
    return this.baseLrs.map(
      (base) => etaMin + ((base - etaMin) * (1 + Math.cos((Math.PI * lastEpoch) / tMax))) / 2,
    );
  }

  protected override stateNames() {
    return [['T_max', 'tMax'] as const, ['eta_min', 'etaMin'] as const, ...super.stateNames()];
  }
}
