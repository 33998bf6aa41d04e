/** What `fit` measured (keras.callbacks.History): a list per name, one entry an epoch. */
export class History {
  readonly epoch: number[] = [];
  readonly history: Record<string, number[]> = {};
  /** Steps that overflowed and changed nothing. */
  skippedSteps = 0;

  /** @internal */
  add(epoch: number, logs: Readonly<Record<string, number>>): void {
    this.epoch.push(epoch);
    for (const [name, value] of Object.entries(logs)) {
      this.history[name] ??= [];
      this.history[name].push(value);
    }
  }
}
