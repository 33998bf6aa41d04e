import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { MezzoError } from '@mezzo/libtorch/errors';

/** One comparison: the median of side `a` against that of side `b`, both measured in turn in one run. */
export interface BenchRow {
  name: string;
  a: number;
  b: number;
  /** a / b. */
  ratio: number;
  unit: string;
  /** Distance of the quartiles of each side, as a part of its median. */
  spread?: { a: number; b: number };
  /** All measurements, in the order in which they were taken. */
  samples?: { a: number[]; b: number[] };
  /** What the two sides are, when the name does not say it. */
  sides?: { a: string; b: string };
  /** Where the sides were measured in pairs: below this the ratio lies with 95 % confidence (bootstrap of the pairs). */
  upper?: number;
}

/** Where a report was made. */
export interface BenchMachine {
  cpu: string;
  cores: number;
  /** Bytes. */
  memory: number;
  node: string;
  libtorch: string;
  /** Compute threads. */
  threads: number;
  gpu?: string;
}

export interface BenchReport {
  suite: string;
  machine: BenchMachine;
  /** ISO 8601. */
  date: string;
  rows: BenchRow[];
}

/** Words of a processor's or card's name that tell no two of them apart. */
const EMPTY_WORDS = /\((r|tm)\)|\b(intel|amd|nvidia|processor|cpu|gpu|with|\d+-core)\b|@.*$/gi;

const slug = (name: string): string =>
  name
    .replace(EMPTY_WORDS, ' ')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

/** The name of a report among others: `2026-11-22-xeon-2-cores-step.json`, `…-xeon-16-cores-h200-gpu.json`. */
export function reportName({
  date,
  machine,
  suite,
}: Pick<BenchReport, 'date' | 'machine' | 'suite'>): string {
  const { cpu, cores, gpu } = machine;
  const parts = [date.slice(0, 10), slug(cpu) || 'cpu', cores, cores === 1 ? 'core' : 'cores'];
  return `${[...parts, ...(gpu === undefined ? [] : [slug(gpu)]), suite].join('-')}.json`;
}

/**
 * Where a report goes, asked for before anything is measured: into the folder `out`, which is made when it ends in `/`,
 * under {@link reportName}; else to the file of that name.
 * @throws {MezzoError} NOT_A_FOLDER when the file's folder is not there
 */
export function reportTarget(out: string): (report: BenchReport) => string {
  if (/[/\\]$/.test(out)) mkdirSync(out, { recursive: true });
  if (isFolder(out)) return (report) => path.join(out, reportName(report));
  const folder = path.dirname(path.resolve(out));
  if (!isFolder(folder)) {
    throw new MezzoError('NOT_A_FOLDER', `out=${out}: there is no folder ${folder}`, {
      hint: 'make it, or end out= with / to have the folder made and the file named',
    });
  }
  return () => out;
}

const isFolder = (name: string): boolean => existsSync(name) && statSync(name).isDirectory();

/**
 * Reads a report that a benchmark wrote.
 * @throws {MezzoError} NO_SUCH_FILE, READ_FAILED, BAD_REPORT
 */
export function readReport(file: string): BenchReport {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw missing
      ? new MezzoError('NO_SUCH_FILE', `there is no file ${file}`, { cause })
      : new MezzoError('READ_FAILED', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
  const hint = 'mezzo bench SUITE --out FILE writes one';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MezzoError('BAD_REPORT', `${file} is no JSON`, { hint, cause });
  }
  if (!isReport(value)) throw new MezzoError('BAD_REPORT', `${file} is no report of a benchmark`, { hint });
  return value;
}

function isReport(value: unknown): value is BenchReport {
  const report = value as Partial<BenchReport> | null;
  const { suite, date, machine, rows } = report ?? {};
  return (
    typeof suite === 'string' &&
    typeof date === 'string' &&
    typeof machine === 'object' &&
    machine !== null &&
    Array.isArray(rows) &&
    rows.every(isRow)
  );
}

function isRow(value: unknown): value is BenchRow {
  const { name, a, b, ratio, unit } = (value ?? {}) as Partial<BenchRow>;
  const numbers = [a, b, ratio].every((number) => typeof number === 'number');
  return typeof name === 'string' && typeof unit === 'string' && numbers;
}
