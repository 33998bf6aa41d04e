import { OptimizerError } from '../errors.ts';
import type { Optimizer } from '../optimizer.ts';
import { LRScheduler, type SchedulerState } from './scheduler.ts';

/** One schedule after another: schedule i + 1 starts, at its own epoch 0, at `milestones[i]`. */
export class SequentialLR extends LRScheduler {
  private readonly schedulers: readonly LRScheduler[];
  private milestones: number[];

  constructor(
    optimizer: Optimizer,
    schedulers: readonly LRScheduler[],
    milestones: readonly number[],
    lastEpoch = -1,
  ) {
    if (schedulers.length < 1) {
      throw new OptimizerError('VALUE', 'SequentialLR expects at least one scheduler, but got no scheduler.');
    }
    schedulers.forEach((scheduler, i) => {
      if (scheduler.optimizer !== optimizer) {
        throw new OptimizerError(
          'VALUE',
          'SequentialLR expects all schedulers to belong to the same optimizer, but got scheduler ' +
            `${scheduler.constructor.name} at index ${i} that belongs to another one.`,
        );
      }
    });
    if (milestones.length !== schedulers.length - 1) {
      throw new OptimizerError(
        'VALUE',
        'Sequential Schedulers expects number of schedulers provided to be one more than the number of ' +
          `milestone points, but got number of schedulers ${schedulers.length} and the number of milestones ` +
          `to be equal to ${milestones.length}`,
      );
    }
    super(optimizer, lastEpoch);
    this.schedulers = schedulers;
    this.milestones = [...milestones];
    this.begin();
  }

  /** Every schedule has set its own first rate: all are taken back, and the one in charge begins again. */
  override begin(): void {
    for (const group of this.optimizer.paramGroups) group.lr = group.initialLr!;
    for (const scheduler of this.schedulers) scheduler.undo();
    this.lastEpoch += 1;
    const first = this.schedulers[this.inCharge(0)]!;
    first.begin();
    this.lastLr = first.getLastLr();
  }

  override step(): void {
    this.lastEpoch += 1;
    const index = this.inCharge(this.lastEpoch);
    const scheduler = this.schedulers[index]!;
    if (index > 0 && this.milestones[index - 1] === this.lastEpoch) scheduler.restartAt(0);
    else scheduler.step();
    this.lastLr = scheduler.getLastLr();
  }

  override stateDict(): SchedulerState {
    return { ...super.stateDict(), _schedulers: this.schedulers.map((scheduler) => scheduler.stateDict()) };
  }

  override loadStateDict(state: SchedulerState): void {
    super.loadStateDict(state);
    const states = state._schedulers as SchedulerState[];
    this.schedulers.forEach((scheduler, i) => {
      scheduler.loadStateDict(states[i]!);
    });
  }

  protected override getLr(): number[] {
    return this.currentLr();
  }

  protected override stateNames() {
    return [
      ['_milestones', 'milestones'] as const,
      ['last_epoch', 'lastEpoch'] as const,
      ['_last_lr', 'lastLr'] as const,
    ];
  }

  /** Index of the schedule of an epoch: as many as there are milestones at or before it. */
  private inCharge(epoch: number): number {
    return this.milestones.filter((milestone) => milestone <= epoch).length;
  }
}
