import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tensorboard } from '@mezzo/torch';
import { checkOptions } from '../errors.ts';
import { Callback, type Logs } from './callback.ts';

export interface CSVLoggerOptions {
  separator?: string;
  /** Go on in an existing file. */
  append?: boolean;
}

/** Writes the numbers of each epoch as a row; the first epoch gives the columns. */
export class CSVLogger extends Callback {
  readonly #file: string;
  readonly #separator: string;
  readonly #append: boolean;
  #columns: readonly string[] | null = null;

  constructor(file: string, options: CSVLoggerOptions = {}) {
    super();
    checkOptions('CSVLogger', options, ['separator', 'append']);
    this.#file = file;
    this.#separator = options.separator ?? ',';
    this.#append = options.append ?? false;
  }

  override onTrainBegin(): void {
    this.#columns = null;
    if (!this.#append) writeFileSync(this.#file, '');
  }

  override onEpochEnd(epoch: number, logs: Logs): void {
    if (this.#columns === null) {
      this.#columns = Object.keys(logs).sort();
      if (!this.#append) this.#row(['epoch', ...this.#columns]);
    }
    this.#row([epoch, ...this.#columns.map((name) => logs[name] ?? '')]);
  }

  #row(cells: readonly (string | number)[]): void {
    appendFileSync(this.#file, `${cells.join(this.#separator)}\n`);
  }
}

export interface TensorBoardOptions {
  /** Default 'logs'; curves go to `train` and `validation` below it. */
  logDir?: string;
  /** 'epoch' (default), or 'batch' for each batch's numbers too. */
  updateFreq?: 'epoch' | 'batch';
}

/** Writes loss and metrics for TensorBoard under Keras's tags, `epoch_loss`, `batch_loss`, `epoch_learning_rate`. */
export class TensorBoard extends Callback {
  readonly #logDir: string;
  readonly #everyBatch: boolean;
  readonly #files = new Map<string, string>();
  #steps = 0;

  constructor(options: TensorBoardOptions = {}) {
    super();
    checkOptions('TensorBoard', options, ['logDir', 'updateFreq']);
    this.#logDir = options.logDir ?? 'logs';
    this.#everyBatch = options.updateFreq === 'batch';
    // Without the method no number is read after a batch.
    if (this.#everyBatch)
      this.onTrainBatchEnd = (_, logs) => this.#write('train', this.#steps++, logs, 'batch_');
  }

  override onTrainBegin(): void {
    this.#files.clear();
    this.#steps = 0;
  }

  override onEpochEnd(epoch: number, logs: Logs): void {
    const names = Object.keys(logs);
    const train = Object.fromEntries(
      names.filter((name) => !name.startsWith('val_')).map((name) => [name, logs[name]!]),
    );
    const validation = Object.fromEntries(
      names.filter((name) => name.startsWith('val_')).map((name) => [name.slice(4), logs[name]!]),
    );
    this.#write(
      'train',
      epoch,
      { ...train, learning_rate: this.model.compiled.optimizer.learningRate },
      'epoch_',
    );
    if (Object.keys(validation).length > 0) this.#write('validation', epoch, validation, 'epoch_');
  }

  #write(run: string, step: number, logs: Logs, prefix: string): void {
    const seconds = Date.now() / 1000;
    const values = Object.entries(logs).map(([name, value]) => [`${prefix}${name}`, value] as const);
    appendFileSync(this.#fileOf(run, seconds), tensorboard.scalarsRecord(step, values, seconds));
  }

  #fileOf(run: string, seconds: number): string {
    let file = this.#files.get(run);
    if (file === undefined) {
      const folder = join(this.#logDir, run);
      mkdirSync(folder, { recursive: true });
      file = join(folder, tensorboard.eventFileName(seconds));
      appendFileSync(file, tensorboard.fileVersion(seconds));
      this.#files.set(run, file);
    }
    return file;
  }
}
