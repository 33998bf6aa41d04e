import { checkOptions, KerasError } from '../errors.ts';
import { Callback, type Logs } from './callback.ts';
import { WATCH_OPTIONS, Watch, type WatchOptions } from './watch.ts';

/** Sets the learning rate at the beginning of each epoch. */
export class LearningRateScheduler extends Callback {
  readonly #schedule: (epoch: number, learningRate: number) => number;

  constructor(schedule: (epoch: number, learningRate: number) => number) {
    super();
    this.#schedule = schedule;
  }

  override onEpochBegin(epoch: number): void {
    const { optimizer } = this.model.compiled;
    optimizer.learningRate = this.#schedule(epoch, optimizer.learningRate);
  }
}

export interface ReduceLROnPlateauOptions extends WatchOptions {
  /** Below 1; default 0.1. */
  factor?: number;
  /** Epochs without improvement before the rate falls; default 10. */
  patience?: number;
  /** Epochs after a fall that do not count; default 0. */
  cooldown?: number;
  minLr?: number;
}

/** Lowers the learning rate when a number has stopped to become better. Changes below 1e-4 are none, unless said. */
export class ReduceLROnPlateau extends Callback {
  readonly #watch: Watch;
  readonly #options: ReduceLROnPlateauOptions;
  #wait = 0;
  #cooldown = 0;

  /** @throws KerasError BAD_OPTION for a factor of 1 or more */
  constructor(options: ReduceLROnPlateauOptions = {}) {
    super();
    checkOptions('ReduceLROnPlateau', options, [...WATCH_OPTIONS, 'factor', 'patience', 'cooldown', 'minLr']);
    if ((options.factor ?? 0.1) >= 1) {
      throw new KerasError('BAD_OPTION', `ReduceLROnPlateau: factor must be below 1, not ${options.factor}`);
    }
    this.#watch = new Watch('ReduceLROnPlateau', { minDelta: 1e-4, ...options });
    this.#options = options;
  }

  override onTrainBegin(): void {
    this.#watch.reset();
    this.#wait = 0;
    this.#cooldown = 0;
  }

  override onEpochEnd(_epoch: number, logs: Logs): void {
    const { factor = 0.1, patience = 10, cooldown = 0, minLr = 0 } = this.#options;
    const value = this.#watch.valueIn(logs);
    if (this.#cooldown > 0) {
      this.#cooldown -= 1;
      this.#wait = 0;
    }
    if (this.#watch.isBetter(value)) {
      this.#watch.best = value;
      this.#wait = 0;
      return;
    }
    if (this.#cooldown > 0) return;
    this.#wait += 1;
    const { optimizer } = this.model.compiled;
    if (this.#wait < patience || optimizer.learningRate <= minLr) return;
    optimizer.learningRate = Math.max(optimizer.learningRate * factor, minLr);
    this.#cooldown = cooldown;
    this.#wait = 0;
  }
}
