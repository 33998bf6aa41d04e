import { checkOptions, KerasError } from '../errors.ts';
import { Callback, type Logs } from './callback.ts';
import { WATCH_OPTIONS, Watch, type WatchOptions } from './watch.ts';

export interface ModelCheckpointOptions extends WatchOptions {
  /** Only when the watched number has become better. */
  saveBestOnly?: boolean;
  /** The number to better at first. */
  initialValueThreshold?: number | null;
}

/**
 * Writes the weights after an epoch as safetensors. In the path `{epoch}` is the epoch's number from 1 and `{name}` a
 * number of the logs; `{epoch:02d}` and `{val_loss:.2f}` give width and digits as in Python.
 */
export class ModelCheckpoint extends Callback {
  readonly #path: string;
  readonly #watch: Watch;
  readonly #bestOnly: boolean;

  /** @throws KerasError UNKNOWN_ID for an unknown option */
  constructor(path: string, options: ModelCheckpointOptions = {}) {
    super();
    checkOptions('ModelCheckpoint', options, [...WATCH_OPTIONS, 'saveBestOnly', 'initialValueThreshold']);
    this.#path = path;
    this.#watch = new Watch('ModelCheckpoint', options);
    this.#watch.reset(options.initialValueThreshold);
    this.#bestOnly = options.saveBestOnly ?? false;
  }

  override onEpochEnd(epoch: number, logs: Logs): void {
    if (this.#bestOnly) {
      const value = this.#watch.valueIn(logs);
      if (!this.#watch.isBetter(value)) return;
      this.#watch.best = value;
    }
    this.model.saveWeights(filled(this.#path, { epoch: epoch + 1, ...logs }));
  }
}

/** @throws KerasError BAD_OPTION for a field without a value */
function filled(path: string, values: Logs): string {
  return path.replace(
    /\{(\w+)(?::0?(\d*)(?:\.(\d+))?[df]?)?\}/g,
    (field, name: string, width = '', digits = '') => {
      const value = values[name];
      if (value === undefined) {
        throw new KerasError(
          'BAD_OPTION',
          `ModelCheckpoint: nothing to put for ${field}; there are ${Object.keys(values).join(', ')}`,
        );
      }
      const text = digits === '' ? String(value) : value.toFixed(Number(digits));
      return text.padStart(Number(width), '0');
    },
  );
}
