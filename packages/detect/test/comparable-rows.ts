import { readFileSync } from 'node:fs';
import path from 'node:path';

/** The rows of a run's results.csv without times, memory and what the GPU tells, which no two runs share. */
export function comparableRows(runFolder: string): string[][] {
  const [header = '', ...lines] = readFileSync(path.join(runFolder, 'results.csv'), 'utf8')
    .trim()
    .split('\n');
  const keep = header.split(',').map((column) => !/^(time|mem|gpu)(\/|$)/.test(column));
  return lines.map((line) => line.split(',').filter((_, i) => keep[i]));
}
