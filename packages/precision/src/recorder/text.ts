import { type Drift, driftsOf } from './drift.ts';
import type { Recording } from './recording.ts';

const HEADER = ['layer', 'values', 'first', 'last', 'headroom', 'drift/1000', 'steps left', 'vanished'];

/** The layers nearest to the end of the format, as a table for a terminal. */
export function recordingText(recording: Recording, rows = 15): string {
  const { samples, dtype } = recording;
  if (samples.length === 0) return 'The recording holds no samples yet.';
  const span = `steps ${samples[0]!.window} to ${samples.at(-1)!.window}`;
  const drifts = driftsOf(recording);
  const table = [HEADER, ...drifts.slice(0, rows).map(cellsOf)];
  const widths = HEADER.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)));
  const lines = table.map((cells) =>
    cells
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
  const more = drifts.length > rows ? [`… and ${drifts.length - rows} more with more room`] : [];
  return [
    `${samples.length} samples, ${span}, limits of ${dtype}; tops are exponents of two`,
    ...lines,
    ...more,
  ].join('\n');
}

function cellsOf({ layer, kind, first, last, headroom, slope, stepsLeft, vanished }: Drift): string[] {
  const exponent = (value: number | null) =>
    value === null ? '-' : Number.isFinite(value) ? String(value) : value > 0 ? 'not finite' : 'overflow';
  return [
    layer === '' ? '(model)' : layer,
    kind,
    exponent(first),
    exponent(last),
    exponent(headroom),
    slope.toFixed(2),
    stepsLeft === null ? '-' : String(stepsLeft),
    `${(100 * vanished).toFixed(2)} %`,
  ];
}
