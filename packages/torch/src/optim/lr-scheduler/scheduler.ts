import { warn } from '../../warning.ts';
import { OptimizerError } from '../errors.ts';
import type { Optimizer } from '../optimizer.ts';

/** The state of a scheduler under PyTorch's names; plain data, fit for JSON. */
export type SchedulerState = Record<string, unknown>;

/** A number for every parameter group, or one for all. */
export type PerGroup<T> = T | readonly T[];

const ORDER_WARNING =
  'Detected call of `lr_scheduler.step()` before `optimizer.step()`. ' +
  'In PyTorch 1.1.0 and later, you should call them in the opposite order: ' +
  '`optimizer.step()` before `lr_scheduler.step()`.  Failure to do this ' +
  'will result in PyTorch skipping the first value of the learning rate schedule. ' +
  'See more details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate';

/**
 * Sets the learning rates of an optimizer's parameter groups, one value per `step()` (torch's LRScheduler).
 * A subclass sets its fields in its constructor, calls `begin()` last, and implements `getLr()`.
 */
export abstract class LRScheduler {
  readonly optimizer: Optimizer;
  /** Learning rates of the groups when the schedule began. */
  baseLrs: number[];
  /** Steps taken since the schedule began. */
  lastEpoch: number;
  protected stepCount = 0;
  /** True while the constructor takes the step to epoch 0. */
  protected isInitial = false;
  protected lastLr: number[] = [];

  /** `lastEpoch` other than -1 continues a schedule: the groups must then carry their `initialLr`. */
  constructor(optimizer: Optimizer, lastEpoch = -1) {
    this.optimizer = optimizer;
    optimizer.paramGroups.forEach((group, i) => {
      if (lastEpoch === -1) group.initialLr ??= group.lr;
      else if (group.initialLr === undefined) {
        throw new OptimizerError(
          'KEY',
          `param 'initial_lr' is not specified in param_groups[${i}] when resuming scheduler with last_epoch >= 0.`,
          { hint: 'load the optimizer state first, or leave lastEpoch out for a fresh run' },
        );
      }
    });
    this.baseLrs = optimizer.paramGroups.map((group) => group.initialLr!);
    this.lastEpoch = lastEpoch;
  }

  /** Learning rate of each group at `lastEpoch`, from the current ones where the schedule is a recurrence. */
  protected abstract getLr(): number[];

  /** Learning rates at `lastEpoch` from the base ones alone, where the schedule has such a form. */
  protected closedFormLr(): number[] {
    return this.getLr();
  }

  /** @internal The step to epoch 0 (or to lastEpoch + 1) that a constructor ends with. */
  begin(): void {
    this.stepCount = 0;
    this.isInitial = true;
    try {
      this.step();
    } finally {
      this.isInitial = false;
    }
  }

  /** @internal Takes back the step of the constructor. */
  undo(): void {
    this.lastEpoch -= 1;
  }

  /** @internal Sets the epoch and its learning rates, as a sequence does where this schedule takes over. */
  restartAt(epoch: number): void {
    this.lastEpoch = epoch;
    this.setLr(this.closedFormLr());
  }

  /** Moves on by one epoch (or batch, whichever you count); call it after `optimizer.step()`. */
  step(): void {
    if (this.stepCount === 1 && !this.optimizer.stepCalled) warn('SCHEDULER_ORDER', ORDER_WARNING);
    this.stepCount += 1;
    this.lastEpoch += 1;
    this.setLr(this.getLr());
  }

  /** The learning rates of the last step. */
  getLastLr(): number[] {
    return [...this.lastLr];
  }

  stateDict(): SchedulerState {
    return Object.fromEntries(
      this.stateNames().map(([key, field]) => [key, structuredClone(Reflect.get(this, field))]),
    );
  }

  /** Restores what `stateDict` gave; the optimizer's learning rates come with the optimizer's own state. */
  loadStateDict(state: SchedulerState): void {
    for (const [key, field] of this.stateNames()) {
      if (state[key] === undefined) {
        throw new OptimizerError('KEY', `${this.constructor.name}: the state has no '${key}'`);
      }
      Reflect.set(this, field, structuredClone(state[key]));
    }
  }

  /** PyTorch's name and our field of everything that `stateDict` holds. */
  protected stateNames(): (readonly [key: string, field: string])[] {
    return [
      ['base_lrs', 'baseLrs'],
      ['last_epoch', 'lastEpoch'],
      ['_step_count', 'stepCount'],
      ['_last_lr', 'lastLr'],
    ];
  }

  protected currentLr(): number[] {
    return this.optimizer.paramGroups.map((group) => group.lr);
  }

  private setLr(values: readonly number[]): void {
    this.optimizer.paramGroups.forEach((group, i) => {
      group.lr = values[i]!;
    });
    this.lastLr = [...values];
  }
}

/** One value for each parameter group. @throws OptimizerError VALUE when a list has another length */
export function perGroup<T>(name: string, optimizer: Optimizer, value: PerGroup<T>): T[] {
  const groups = optimizer.paramGroups.length;
  if (!Array.isArray(value)) return new Array<T>(groups).fill(value as T);
  const values = value as readonly T[];
  if (values.length !== groups) {
    throw new OptimizerError(
      'VALUE',
      `${name} must have the same length as optimizer.param_groups. ` +
        `${name} has ${values.length} values, param_groups has ${groups}.`,
    );
  }
  return [...values];
}
