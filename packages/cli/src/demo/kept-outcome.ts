import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TrainOptions } from '@mezzo/detect/config';

const FILE = 'outcome.json';

/** What a finished training of a story found, beside the options that it ran with. */
interface KeptOutcome<T> {
  readonly options: TrainOptions;
  readonly outcome: T;
}

/** What a training with these options left in `folder`; undefined when none was finished there. */
export function keptOutcome<T>(folder: string, options: TrainOptions): T | undefined {
  const file = join(folder, FILE);
  if (!existsSync(file)) return undefined;
  const kept = JSON.parse(readFileSync(file, 'utf8')) as KeptOutcome<T>;
  return JSON.stringify(kept.options) === JSON.stringify(options) ? kept.outcome : undefined;
}

/** Written whole or not at all: a story that is interrupted goes on behind its finished trainings. */
export function keepOutcome<T>(folder: string, kept: KeptOutcome<T>): void {
  const file = join(folder, FILE);
  writeFileSync(`${file}.part`, JSON.stringify(kept, null, 2));
  renameSync(`${file}.part`, file);
}
