import { KerasError } from '../errors.ts';
import type { Logs } from './callback.ts';

export interface WatchOptions {
  /** Name of the number that is watched; default 'val_loss'. */
  monitor?: string;
  /** Whether lower or higher is better; 'auto' goes by the name. */
  mode?: 'auto' | 'min' | 'max';
  /** Changes up to this are none; default 0. */
  minDelta?: number;
}

export const WATCH_OPTIONS = ['monitor', 'mode', 'minDelta'] as const;

/** A number of the logs, and whether it has become better. */
export class Watch {
  readonly monitor: string;
  readonly #higher: boolean;
  readonly #minDelta: number;
  best: number;

  /** @throws KerasError BAD_OPTION for another mode */
  constructor(owner: string, { monitor = 'val_loss', mode = 'auto', minDelta = 0 }: WatchOptions) {
    if (!['auto', 'min', 'max'].includes(mode)) {
      throw new KerasError(
        'BAD_OPTION',
        `${owner}: mode must be 'auto', 'min' or 'max', not '${String(mode)}'`,
      );
    }
    this.monitor = monitor;
    this.#higher = mode === 'max' || (mode === 'auto' && /acc|auc|precision|recall|r2/.test(monitor));
    this.#minDelta = Math.abs(minDelta);
    this.best = this.worst;
  }

  private get worst(): number {
    return this.#higher ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  reset(baseline?: number | null): void {
    this.best = baseline ?? this.worst;
  }

  /** @throws KerasError BAD_OPTION when the logs lack the number, naming what they have */
  valueIn(logs: Logs): number {
    const value = logs[this.monitor];
    if (value !== undefined) return value;
    throw new KerasError(
      'BAD_OPTION',
      `there is no '${this.monitor}' to monitor; the logs have ${Object.keys(logs).join(', ')}`,
      this.monitor.startsWith('val_') ? 'give fit validationData or validationSplit' : undefined,
    );
  }

  isBetter(value: number, than: number = this.best): boolean {
    return this.#higher ? value - this.#minDelta > than : value + this.#minDelta < than;
  }
}
