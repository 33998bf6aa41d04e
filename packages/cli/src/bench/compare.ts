import { MezzoError } from '@mezzo/libtorch/errors';
import type { BenchReport } from './report.ts';

/** A row that both reports have: second / first. */
export interface RowComparison {
  name: string;
  unit: string;
  /** Of the medians of each side. */
  a: number;
  b: number;
  /** Of the ratios a / b. */
  ratio: number;
}

/** One property of the machines that differs. */
export interface MachineDifference {
  name: string;
  first: string | number | null;
  second: string | number | null;
}

export interface ReportComparison {
  suite: string;
  dates: { first: string; second: string };
  machine: MachineDifference[];
  rows: RowComparison[];
  /** Rows that only one of them has. */
  only: { first: string[]; second: string[] };
}

/**
 * What the second report has changed against the first.
 * @throws {MezzoError} BAD_REPORT for reports of two suites
 */
export function compareReports(first: BenchReport, second: BenchReport): ReportComparison {
  if (first.suite !== second.suite) {
    throw new MezzoError('BAD_REPORT', `reports of two suites, ${first.suite} and ${second.suite}`, {
      hint: 'give two reports of the same suite',
    });
  }
  const known = new Map(second.rows.map((row) => [row.name, row]));
  const rows = first.rows.flatMap(({ name, unit, a, b, ratio }) => {
    const other = known.get(name);
    return other === undefined || other.unit !== unit
      ? []
      : [{ name, unit, a: other.a / a, b: other.b / b, ratio: other.ratio / ratio }];
  });
  const both = new Set(rows.map(({ name }) => name));
  const alone = (report: BenchReport) =>
    report.rows.map(({ name }) => name).filter((name) => !both.has(name));
  return {
    suite: first.suite,
    dates: { first: first.date, second: second.date },
    machine: differences(first.machine, second.machine),
    rows,
    only: { first: alone(first), second: alone(second) },
  };
}

function differences(first: object, second: object): MachineDifference[] {
  const [x, y] = [first, second] as Record<string, string | number>[];
  const names = new Set([...Object.keys(first), ...Object.keys(second)]);
  return [...names].flatMap((name) => {
    const [one, other] = [x![name] ?? null, y![name] ?? null];
    return one === other ? [] : [{ name, first: one, second: other }];
  });
}
