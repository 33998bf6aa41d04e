import type { RunNumbers } from '../comparison.ts';
import { decimalBytes, grouped } from '../number-format.ts';

/** A network of the story with the numbers of each of its trainings. */
export interface FuseRun {
  readonly name: string;
  readonly outcomes: (RunNumbers & {
    readonly params: number;
    readonly gflops: number;
    /** What eligible operators ran in. */
    readonly dtype: string;
  })[];
  /** Folders of the trainings. */
  readonly saved: string[];
}

type Numbers = FuseRun['outcomes'][number];

interface Column {
  readonly title: string;
  readonly show: (run: FuseRun) => string;
}

const mean = (run: FuseRun, of: (numbers: Numbers) => number): number =>
  run.outcomes.reduce((sum, numbers) => sum + of(numbers), 0) / run.outcomes.length;

/** The mean, and with several trainings the least and the most. */
function spread(run: FuseRun, of: (numbers: Numbers) => number): string {
  const values = run.outcomes.map(of);
  const shown = mean(run, of).toFixed(3);
  if (values.length === 1) return shown;
  return `${shown} (${Math.min(...values).toFixed(3)} to ${Math.max(...values).toFixed(3)})`;
}

/** One line a network: size, accuracy on the held-out pairs, time and memory; means over the seeds. */
export function fuseTable(runs: readonly FuseRun[], imgsz: number): string[] {
  const columns: readonly Column[] = [
    { title: 'precision', show: ({ outcomes }) => outcomes[0]!.dtype },
    { title: 'parameters', show: ({ outcomes }) => grouped(outcomes[0]!.params) },
    { title: `GFLOPs at ${imgsz}`, show: ({ outcomes }) => outcomes[0]!.gflops.toFixed(2) },
    { title: 'mAP50', show: (run) => spread(run, ({ map50 }) => map50) },
    { title: 'mAP50-95', show: (run) => spread(run, ({ map }) => map) },
    {
      title: 'time per epoch',
      show: (run) => `${mean(run, ({ epochSeconds }) => epochSeconds).toFixed(2)} s`,
    },
    { title: 'peak memory', show: (run) => decimalBytes(mean(run, ({ peakBytes }) => peakBytes)) },
  ];
  const rows = [
    ['', ...columns.map(({ title }) => title)],
    ...runs.map((run) => [run.name, ...columns.map(({ show }) => show(run))]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
  return rows.map((cells) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** What mid gains over one sensor, and what AMP costs and saves it. */
export function gainLines(runs: readonly FuseRun[]): string[] {
  const of = (name: string) => runs.find((run) => run.name === name)!;
  const [mid, fp32] = [of('mid'), of('mid, fp32')];
  const difference = (run: FuseRun, other: FuseRun) => {
    const points = 100 * (mean(run, ({ map50 }) => map50) - mean(other, ({ map50 }) => map50));
    return `${points < 0 ? '-' : '+'}${Math.abs(points).toFixed(1)}`;
  };
  const part = (quantity: (numbers: Numbers) => number) =>
    `${(mean(mid, quantity) / mean(fp32, quantity)).toFixed(2)}x`;
  return [
    `mid beside RGB only: ${difference(mid, of('RGB only'))} points of mAP50; beside IR only: ${difference(mid, of('IR only'))}`,
    `mid with AMP beside fp32: ${difference(mid, fp32)} points, time ${part(({ epochSeconds }) => epochSeconds)}, memory ${part(({ peakBytes }) => peakBytes)}`,
  ];
}
