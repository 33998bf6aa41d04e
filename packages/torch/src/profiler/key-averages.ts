import { TorchError } from '@mezzo/libtorch';
import { didYouMean } from '@mezzo/libtorch/nearest';
import type { ProfilerEvent } from './event.ts';

/** All calls of one name, or of one name with the same input shapes. Times in seconds. */
export interface KeyAverage {
  readonly name: string;
  readonly shapes: readonly number[][] | null;
  count: number;
  selfCpuSeconds: number;
  cpuSeconds: number;
  selfCudaSeconds: number;
  cudaSeconds: number;
  selfBytes: number;
  bytes: number;
}

export type SortKey = Exclude<keyof KeyAverage, 'name' | 'shapes'>;

export interface TableOptions {
  /** Column to sort by, the largest first. Default: cudaSeconds where something ran on a GPU, else selfCpuSeconds. */
  sortBy?: SortKey;
  /** Default: 30 rows. */
  rowLimit?: number;
}

/** Sums by name, with `groupByInputShape` by name and shapes. */
export function keyAveragesOf(
  calls: readonly ProfilerEvent[],
  options: { groupByInputShape?: boolean } = {},
): KeyAverage[] {
  const found = new Map<string, KeyAverage>();
  for (const call of calls) {
    const shapes = options.groupByInputShape ? call.shapes : null;
    const key = JSON.stringify([call.name, shapes]);
    const sum = found.get(key) ?? emptyAverage(call.name, shapes);
    found.set(key, sum);
    // Of calls within calls of the same name only the outermost counts towards the totals.
    const outermost = !hasAncestor(call, call.name);
    sum.count += 1;
    sum.selfCpuSeconds += call.selfSeconds;
    sum.selfCudaSeconds += call.selfCudaSeconds;
    sum.selfBytes += call.selfBytes;
    if (!outermost) continue;
    sum.cpuSeconds += call.seconds;
    sum.cudaSeconds += call.cudaSeconds;
    sum.bytes += call.bytes;
  }
  return [...found.values()];
}

function hasAncestor({ parent }: ProfilerEvent, name: string): boolean {
  for (let call = parent; call !== null; call = call.parent) if (call.name === name) return true;
  return false;
}

const emptyAverage = (name: string, shapes: number[][] | null): KeyAverage => ({
  name,
  shapes,
  count: 0,
  selfCpuSeconds: 0,
  cpuSeconds: 0,
  selfCudaSeconds: 0,
  cudaSeconds: 0,
  selfBytes: 0,
  bytes: 0,
});

interface Column {
  readonly title: string;
  readonly cell: (row: KeyAverage, total: KeyAverage) => string;
  readonly shown?: (rows: readonly KeyAverage[]) => boolean;
}

const ifAny = (key: SortKey) => (rows: readonly KeyAverage[]) => rows.some((row) => row[key] !== 0);
const share = (part: number, whole: number) =>
  whole === 0 ? '0.0%' : `${((100 * part) / whole).toFixed(1)}%`;

const COLUMNS: readonly Column[] = [
  { title: 'Name', cell: ({ name }) => name },
  { title: 'Self CPU %', cell: (row, total) => share(row.selfCpuSeconds, total.selfCpuSeconds) },
  { title: 'Self CPU', cell: (row) => time(row.selfCpuSeconds) },
  { title: 'CPU total', cell: (row) => time(row.cpuSeconds) },
  { title: 'CPU mean', cell: (row) => time(row.cpuSeconds / row.count) },
  { title: 'Self CUDA', cell: (row) => time(row.selfCudaSeconds), shown: ifAny('cudaSeconds') },
  { title: 'CUDA total', cell: (row) => time(row.cudaSeconds), shown: ifAny('cudaSeconds') },
  { title: 'Self bytes', cell: (row) => size(row.selfBytes), shown: ifAny('bytes') },
  { title: 'Bytes', cell: (row) => size(row.bytes), shown: ifAny('bytes') },
  { title: 'Calls', cell: ({ count }) => String(count) },
  {
    title: 'Input shapes',
    cell: ({ shapes }) => JSON.stringify(shapes),
    shown: (rows) => rows.some(({ shapes }) => shapes !== null),
  },
];

/** Left-aligned columns: the texts. */
const TEXT_COLUMNS = new Set(['Name', 'Input shapes']);
const LONGEST_TEXT = 60;

/**
 * The averages as a table in plain text.
 * @throws TorchError VALUE for a column that there is not
 */
export function tableOf(averages: readonly KeyAverage[], options: TableOptions = {}): string {
  const { rowLimit = 30, sortBy = ifAny('cudaSeconds')(averages) ? 'cudaSeconds' : 'selfCpuSeconds' } =
    options;
  const total = emptyAverage('', null);
  if (sortBy in total === false || typeof total[sortBy] !== 'number') throw unknownColumn(sortBy);
  for (const row of averages) {
    total.selfCpuSeconds += row.selfCpuSeconds;
    total.selfCudaSeconds += row.selfCudaSeconds;
  }
  const rows = [...averages].sort((a, b) => b[sortBy] - a[sortBy]).slice(0, rowLimit);
  const columns = COLUMNS.filter(({ shown }) => shown === undefined || shown(averages));
  const cells = rows.map((row) => columns.map(({ cell }) => shorten(cell(row, total))));
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
  const line = (texts: readonly string[]) =>
    texts
      .map((text, i) =>
        TEXT_COLUMNS.has(columns[i]!.title) ? text.padEnd(widths[i]!) : text.padStart(widths[i]!),
      )
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  const sums = [`Self CPU time total: ${time(total.selfCpuSeconds)}`];
  if (total.selfCudaSeconds > 0) sums.push(`Self CUDA time total: ${time(total.selfCudaSeconds)}`);
  return [line(columns.map(({ title }) => title)), rule, ...cells.map(line), rule, ...sums].join('\n');
}

function unknownColumn(name: string): TorchError {
  const known = Object.entries(emptyAverage('', null)).flatMap(([key, value]) =>
    typeof value === 'number' ? [key] : [],
  );
  return new TorchError('VALUE', `profiler: no column '${name}' to sort by${didYouMean(name, known)}`);
}

const shorten = (text: string) =>
  text.length <= LONGEST_TEXT ? text : `${text.slice(0, LONGEST_TEXT - 1)}…`;

function time(seconds: number): string {
  if (Math.abs(seconds) < 1e-3) return `${(seconds * 1e6).toFixed(3)}us`;
  return Math.abs(seconds) < 1 ? `${(seconds * 1e3).toFixed(3)}ms` : `${seconds.toFixed(3)}s`;
}

function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = bytes;
  let unit = 0;
  for (; Math.abs(value) >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(2)} ${units[unit]}`;
}
