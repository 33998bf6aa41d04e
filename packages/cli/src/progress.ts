import { clock } from './number-format.ts';
import type { Terminal } from './terminal.ts';

const WIDTH = 10;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const MIN_INTERVAL_MS = 100;

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
  update(description: string, done: number, total: number, now = performance.now()): void {
    if (now - this.#drawn < MIN_INTERVAL_MS && done < total) return;
    this.#drawn = now;
    this.#terminal.status(progressLine(description, done, total, (now - this.#started) / 1000, this.#unit));
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
  unit = 'it',
): string {
  const part = total > 0 ? Math.min(done / total, 1) : 0;
  const rate = seconds > 0 ? done / seconds : 0;
  const left = rate > 0 ? clock((total - done) / rate) : '?';
  const speed = rate >= 1 || rate === 0 ? `${rate.toFixed(1)}${unit}/s` : `${(1 / rate).toFixed(1)}s/${unit}`;
  const head = description === '' ? '' : `${description}: `;
  const percent = `${Math.floor(part * 100)}%`.padStart(4);
  return `${head}${percent}|${bar(part)}| ${done}/${total} [${clock(seconds)}<${left}, ${speed}]`;
}

function bar(part: number): string {
  const eighths = Math.floor(part * WIDTH * 8);
  return ('█'.repeat(eighths >> 3) + EIGHTHS[eighths & 7]).padEnd(WIDTH);
}
