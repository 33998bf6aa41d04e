import { clock } from './number-format.ts';
import type { Terminal } from './terminal.ts';

const WIDTH = 10;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const MIN_INTERVAL_MS = 100;

export interface ProgressStyle {
  /** What is counted, as in `2.9it/s`. */
  readonly unit?: string;
  /** In place of the rate in units. */
  readonly rate?: string;
  /** `bar`: everything; `plain`: without the bar; `short`: percent, time left and rate only. */
  readonly form?: 'bar' | 'plain' | 'short';
}

/**
 * One line that grows: `description: 45%|████▌     | 9/20 [00:03<00:04, 2.9it/s]`. On a terminal that nobody
 * watches it writes nothing.
 */
export class ProgressBar {
  readonly #terminal: Terminal;
  readonly #unit: string;
  readonly #started: number;
  #drawn = Number.NEGATIVE_INFINITY;

  /** @param unit what is counted, as in `2.9it/s` */
  constructor(terminal: Terminal, unit = 'it', now = performance.now()) {
    this.#terminal = terminal;
    this.#unit = unit;
    this.#started = now;
  }

  /** Redraws at most ten times a second, and always when `done` reaches `total`. */
  update(
    description: string,
    done: number,
    total: number,
    now = performance.now(),
    style: ProgressStyle = {},
  ): void {
    if (now - this.#drawn < MIN_INTERVAL_MS && done < total) return;
    this.#drawn = now;
    const seconds = (now - this.#started) / 1000;
    this.#terminal.status(progressLine(description, done, total, seconds, { unit: this.#unit, ...style }));
  }

  /** Leaves the line as it is and moves on. */
  finish(): void {
    this.#terminal.keepStatus();
  }
}

/** The text of the line; `seconds` since the start. */
export function progressLine(
  description: string,
  done: number,
  total: number,
  seconds: number,
  { unit = 'it', rate, form = 'bar' }: ProgressStyle = {},
): string {
  const part = total > 0 ? Math.min(done / total, 1) : 0;
  const speed = seconds > 0 ? done / seconds : 0;
  const left = speed > 0 ? clock((total - done) / speed) : '?';
  const units =
    speed >= 1 || speed === 0 ? `${speed.toFixed(1)}${unit}/s` : `${(1 / speed).toFixed(1)}s/${unit}`;
  const head = description === '' ? '' : `${description}: `;
  const percent = `${Math.floor(part * 100)}%`.padStart(4);
  const pace = rate ?? units;
  if (form === 'short') return `${head}${percent} <${left}, ${pace}`;
  const middle = form === 'bar' ? `|${bar(part)}|` : '';
  return `${head}${percent}${middle} ${done}/${total} [${clock(seconds)}<${left}, ${pace}]`;
}

function bar(part: number): string {
  const eighths = Math.floor(part * WIDTH * 8);
  return ('█'.repeat(eighths >> 3) + EIGHTHS[eighths & 7]).padEnd(WIDTH);
}
