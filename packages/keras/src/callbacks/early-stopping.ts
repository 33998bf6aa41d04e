import type { Tensor } from '@mezzo/torch';
import { checkOptions } from '../errors.ts';
import { Callback, type Logs } from './callback.ts';
import { WATCH_OPTIONS, Watch, type WatchOptions } from './watch.ts';

export interface EarlyStoppingOptions extends WatchOptions {
  /** Epochs without improvement after which training ends; default 0. */
  patience?: number;
  /** The number to better at first. */
  baseline?: number | null;
  /** Go back to the weights of the best epoch. */
  restoreBestWeights?: boolean;
  /** First epoch that counts; default 0. */
  startFromEpoch?: number;
}

/** Ends training when a number has stopped to become better. */
export class EarlyStopping extends Callback {
  readonly #watch: Watch;
  readonly #options: EarlyStoppingOptions;
  /** The epoch at which it ended training; 0 when it did not. */
  stoppedEpoch = 0;
  #wait = 0;
  #bestWeights: readonly Tensor[] | null = null;

  constructor(options: EarlyStoppingOptions = {}) {
    super();
    const own = ['patience', 'baseline', 'restoreBestWeights', 'startFromEpoch'];
    checkOptions('EarlyStopping', options, [...WATCH_OPTIONS, ...own]);
    this.#watch = new Watch('EarlyStopping', options);
    this.#options = options;
  }

  get best(): number {
    return this.#watch.best;
  }

  override onTrainBegin(): void {
    this.#watch.reset();
    this.#wait = 0;
    this.stoppedEpoch = 0;
    this.#keep(null);
  }

  override onEpochEnd(epoch: number, logs: Logs): void {
    const { patience = 0, baseline = null, restoreBestWeights = false, startFromEpoch = 0 } = this.#options;
    const value = this.#watch.valueIn(logs);
    if (epoch < startFromEpoch) return;
    if (restoreBestWeights && this.#bestWeights === null) this.#keep(this.model.getWeights());
    this.#wait += 1;
    if (this.#watch.isBetter(value)) {
      this.#watch.best = value;
      if (restoreBestWeights) this.#keep(this.model.getWeights());
      if (baseline === null || this.#watch.isBetter(value, baseline)) this.#wait = 0;
      return;
    }
    if (this.#wait < patience || epoch === 0) return;
    this.stoppedEpoch = epoch;
    this.model.stopTraining = true;
  }

  override onTrainEnd(): void {
    if (this.#bestWeights !== null) this.model.setWeights(this.#bestWeights);
    this.#keep(null);
  }

  #keep(weights: readonly Tensor[] | null): void {
    for (const weight of this.#bestWeights ?? []) weight.dispose();
    this.#bestWeights = weights;
  }
}
