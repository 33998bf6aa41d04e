import type { Optimizer } from '../optimizer.ts';
import { LRScheduler } from './scheduler.ts';

/** lr ← lr · gamma every `stepSize` epochs. */
export class StepLR extends LRScheduler {
  stepSize: number;
  gamma: number;

  constructor(optimizer: Optimizer, stepSize: number, { gamma = 0.1, lastEpoch = -1 } = {}) {
    super(optimizer, lastEpoch);
    this.stepSize = stepSize;
    this.gamma = gamma;
    this.begin();
  }

  protected override getLr(): number[] {
    if (this.lastEpoch === 0 || this.lastEpoch % this.stepSize !== 0) return this.currentLr();
    return this.currentLr().map((lr) => lr * this.gamma);
  }

  protected override closedFormLr(): number[] {
    const drops = Math.floor(this.lastEpoch / this.stepSize);
    return this.baseLrs.map((base) => base * this.gamma ** drops);
  }

  protected override stateNames() {
    return [['step_size', 'stepSize'] as const, ['gamma', 'gamma'] as const, ...super.stateNames()];
  }
}

/** lr ← lr · gamma at each milestone epoch; a milestone named n times counts n times. */
export class MultiStepLR extends LRScheduler {
  /** How often each epoch is a milestone. */
  milestones: Record<string, number>;
  gamma: number;

  constructor(optimizer: Optimizer, milestones: readonly number[], { gamma = 0.1, lastEpoch = -1 } = {}) {
    super(optimizer, lastEpoch);
    this.milestones = {};
    for (const epoch of milestones) this.milestones[epoch] = (this.milestones[epoch] ?? 0) + 1;
    this.gamma = gamma;
    this.begin();
  }

  protected override getLr(): number[] {
    const count = this.milestones[this.lastEpoch];
    if (count === undefined) return this.currentLr();
    return this.currentLr().map((lr) => lr * this.gamma ** count);
  }

  protected override closedFormLr(): number[] {
    let drops = 0;
    for (const [epoch, count] of Object.entries(this.milestones)) {
      if (Number(epoch) <= this.lastEpoch) drops += count;
    }
    return this.baseLrs.map((base) => base * this.gamma ** drops);
  }

  protected override stateNames() {
    return [['milestones', 'milestones'] as const, ['gamma', 'gamma'] as const, ...super.stateNames()];
  }
}

/** lr ← lr · gamma at every step. */
export class ExponentialLR extends LRScheduler {
  gamma: number;

  constructor(optimizer: Optimizer, gamma: number, lastEpoch = -1) {
    super(optimizer, lastEpoch);
    this.gamma = gamma;
    this.begin();
  }

  protected override getLr(): number[] {
    if (this.isInitial) return this.currentLr();
    return this.currentLr().map((lr) => lr * this.gamma);
  }

  protected override closedFormLr(): number[] {
    return this.baseLrs.map((base) => base * this.gamma ** this.lastEpoch);
  }

  protected override stateNames() {
    return [['gamma', 'gamma'] as const, ...super.stateNames()];
  }
}
