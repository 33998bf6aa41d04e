import { Callback, type Logs } from './callback.ts';

/**
 * Ends training after an epoch whose loss is no number. A single step that overflowed is left out and is no reason to
 * end; an epoch without one applied step is.
 */
export class TerminateOnNaN extends Callback {
  override onEpochEnd(_epoch: number, logs: Logs): void {
    if (!Number.isFinite(logs.loss ?? 0)) this.model.stopTraining = true;
  }
}
