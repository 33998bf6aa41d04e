import type { Model } from '../models/model.ts';

/** Loss and metrics by name. */
export type Logs = Readonly<Record<string, number>>;

export interface CallbackParams {
  readonly epochs: number;
  /** Batches of an epoch; null when the data does not tell. */
  readonly steps: number | null;
}

/**
 * Something that is told how training goes (keras.callbacks.Callback); every method may be async. Numbers are read
 * from the device after a batch only when some callback has `onTrainBatchEnd`.
 */
export abstract class Callback {
  model!: Model;
  params!: CallbackParams;

  onTrainBegin?(): void | Promise<void>;
  onTrainEnd?(logs: Logs): void | Promise<void>;
  onEpochBegin?(epoch: number): void | Promise<void>;
  /** Epochs count from 0; `logs` has the validation's numbers too. */
  onEpochEnd?(epoch: number, logs: Logs): void | Promise<void>;
  onTrainBatchBegin?(batch: number): void | Promise<void>;
  /** Means over the epoch so far. */
  onTrainBatchEnd?(batch: number, logs: Logs): void | Promise<void>;
}

type Told = Partial<
  Pick<
    Callback,
    'onTrainBegin' | 'onTrainEnd' | 'onEpochBegin' | 'onEpochEnd' | 'onTrainBatchBegin' | 'onTrainBatchEnd'
  >
>;

/** A callback of plain functions. */
export class LambdaCallback extends Callback {
  constructor(told: Told) {
    super();
    Object.assign(this, told);
  }
}
