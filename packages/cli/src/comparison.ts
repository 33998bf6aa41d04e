import { decimalBytes, general } from './number-format.ts';

/** The numbers of one run that a comparison shows. */
export interface RunNumbers {
  /** Median over the epochs, validation included. */
  readonly epochSeconds: number;
  readonly peakBytes: number;
  readonly map50: number;
  readonly map: number;
  readonly skipped: number;
  /** The last loss scale, null without a scaler. */
  readonly scale: number | null;
}

interface Row {
  readonly name: string;
  readonly show: (numbers: RunNumbers) => string;
  /** What is divided, second by first, for the last column. */
  readonly ratio?: (numbers: RunNumbers) => number;
}

const ROWS: readonly Row[] = [
  {
    name: 'time per epoch',
    show: (run) => `${run.epochSeconds.toFixed(2)} s`,
    ratio: (run) => run.epochSeconds,
  },
  { name: 'peak memory', show: (run) => decimalBytes(run.peakBytes), ratio: (run) => run.peakBytes },
  { name: 'mAP50', show: (run) => run.map50.toFixed(3) },
  { name: 'mAP50-95', show: (run) => run.map.toFixed(3) },
  { name: 'skipped steps', show: (run) => String(run.skipped) },
  { name: 'final loss scale', show: (run) => (run.scale === null ? 'no scaler' : general(run.scale, 6)) },
];

/** Two runs side by side, and the second as a part of the first where that says something. */
export function comparisonRows(
  names: readonly [string, string],
  first: RunNumbers,
  second: RunNumbers,
): string[] {
  const line = (cells: readonly string[]) =>
    `${cells[0]!.padEnd(18)}${cells
      .slice(1)
      .map((cell) => cell.padStart(12))
      .join('')}`.trimEnd();
  return [
    line(['', ...names, 'ratio']),
    ...ROWS.map(({ name, show, ratio }) => {
      const part = ratio === undefined ? '' : `${(ratio(second) / ratio(first)).toFixed(2)}x`;
      return line([name, show(first), show(second), part]);
    }),
  ];
}
