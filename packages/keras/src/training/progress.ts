import { KerasError } from '../errors.ts';
import type { Writer } from './writer.ts';

/** 0 silent, 1 a bar that is written anew, 2 a line an epoch; 'auto': 1 on a terminal, 2 elsewhere. */
export type Verbose = 'auto' | 0 | 1 | 2;

export interface ProgressOptions {
  /** Default 'auto'. Without a writer nothing is written. */
  verbose?: Verbose;
  writer?: Writer;
}

type Logs = Readonly<Record<string, number>>;

const BAR = 20;
/** A bar is drawn five times a second at most: its numbers come from the device. */
const PAUSE_MS = 200;

/** Progress as Keras shows it, through the writer that the caller gave. */
export class Progress {
  readonly #writer: Writer | null;
  readonly #bar: boolean;
  readonly #steps: number | null;
  #begun = 0;
  #drawn = 0;

  /** @throws KerasError BAD_OPTION for `verbose` without a writer */
  constructor({ verbose = 'auto', writer }: ProgressOptions, steps: number | null) {
    if (verbose !== 'auto' && verbose !== 0 && writer === undefined) {
      throw new KerasError(
        'BAD_OPTION',
        `verbose: ${verbose} needs a writer, because Mezzo prints nothing by itself`,
        'add writer: process.stdout',
      );
    }
    this.#writer = verbose === 0 ? null : (writer ?? null);
    this.#bar = verbose === 1 || (verbose === 'auto' && writer?.isTTY === true);
    this.#steps = steps;
  }

  /** @param title 'Epoch 1/4', or null for an evaluation */
  begin(title: string | null): void {
    this.#begun = performance.now();
    this.#drawn = 0;
    if (title !== null) this.#writer?.write(`${title}\n`);
  }

  /** After a batch; `logs` is asked only when the bar is drawn. */
  batch(done: number, logs: () => Logs): void {
    if (this.#writer === null || !this.#bar) return;
    const now = performance.now();
    if (now - this.#drawn < PAUSE_MS) return;
    this.#drawn = now;
    this.#writer.write(`\r${this.#barred(done, logs())}`);
  }

  end(done: number, logs: Logs): void {
    if (this.#writer === null) return;
    const steps = `${done}/${done}`;
    const line = this.#bar
      ? `\r${this.#barred(done, logs, done)}`
      : [steps, this.#seconds(), this.#perStep(done), ...numbers(logs)].join(' - ');
    this.#writer.write(`${line}\n`);
  }

  #barred(done: number, logs: Logs, all = this.#steps): string {
    const filled = all === null ? 0 : Math.round((done / all) * BAR);
    const bar = all === null ? '' : ` ${'━'.repeat(filled)}${'─'.repeat(BAR - filled)}`;
    const count = `${done}/${all ?? '?'}`;
    return [`${count}${bar} ${this.#seconds()} ${this.#perStep(done)}`, ...numbers(logs)].join(' - ');
  }

  #seconds(): string {
    return `${Math.round((performance.now() - this.#begun) / 1000)}s`;
  }

  #perStep(done: number): string {
    const ms = (performance.now() - this.#begun) / Math.max(done, 1);
    return ms >= 1000
      ? `${(ms / 1000).toFixed(0)}s/step`
      : `${ms < 1 ? ms.toFixed(2) : ms.toFixed(0)}ms/step`;
  }
}

/** `loss: 0.1234`, in the order of the names; small numbers in powers of ten. */
const numbers = (logs: Logs): string[] =>
  Object.keys(logs)
    .sort()
    .map((name) => {
      const value = logs[name]!;
      const text = Math.abs(value) > 1e-3 || value === 0 ? value.toFixed(4) : value.toExponential(4);
      return `${name}: ${text}`;
    });
