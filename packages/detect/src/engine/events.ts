import { existsSync, readFileSync } from 'node:fs';
import { AppendFile } from './append-file.ts';

const NEWLINE = 0x0a;

/** Writes `events.jsonl`: one JSON object per line, in the order in which things happened. */
export class EventLog {
  readonly #file: AppendFile;

  /** @param keep bytes of an existing log to keep, as {@link position} once gave them; a torn last line is cut off */
  constructor(file: string, keep = 0) {
    this.#file = new AppendFile(file, keep === 0 ? 0 : wholeLines(file, keep));
  }

  /** Bytes written so far; belongs into a checkpoint. */
  get position(): number {
    return this.#file.position;
  }

  /** Numbers that are not finite become null, as JSON has none. */
  append(event: object): void {
    this.#file.append(Buffer.from(`${JSON.stringify(event)}\n`));
  }

  close(): void {
    this.#file.close();
  }
}

/** All events of a log; a torn last line, left by a killed process, is passed over. */
export function readEvents(file: string): Record<string, unknown>[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.slice(0, -1).map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Length of the whole lines among the first `keep` bytes. */
function wholeLines(file: string, keep: number): number {
  if (!existsSync(file)) return 0;
  return readFileSync(file).subarray(0, keep).lastIndexOf(NEWLINE) + 1;
}
