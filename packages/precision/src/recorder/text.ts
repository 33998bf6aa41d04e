import { type Drift, driftsOf } from './drift.ts';
import type { Recording } from './recording.ts';

const HEADER = [
  'layer',
  'part',
  'values',
  'first',
  'last',
  'headroom',
  'drift/1000',
  'steps left',
  'vanished',
];

/** The layers nearest to the end of the format, as a table for a terminal. */
export function recordingText(recording: Recording, rows = 15): string {
  const { samples, dtype } = recording;
  if (samples.length === 0) return 'The recording holds no samples yet.';
  const span = `steps ${samples[0]!.window} to ${samples.at(-1)!.window}`;
  const drifts = driftsOf(recording);
  const named = drifts.some(({ part }) => part !== null);
  const table = [HEADER, ...drifts.slice(0, rows).map(cellsOf)].map((cells) =>
    named ? cells : cells.toSpliced(1, 1),
  );
  const left = named ? 3 : 2;
  const widths = table[0]!.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)));
  const lines = table.map((cells) =>
    cells
      .map((cell, i) => (i < left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
  const more = drifts.length > rows ? [`… and ${drifts.length - rows} more with more room`] : [];
  return [
    `${samples.length} samples, ${span}, limits of ${dtype}; tops are exponents of two`,
    ...lines,
    ...more,
    ...partLines(drifts),
  ].join('\n');
}

/** Of each part of the model what is nearest to the end of the format. */
function partLines(drifts: readonly Drift[]): string[] {
  const nearest = new Map<string, Drift>();
  for (const drift of drifts) {
    if (drift.part !== null && !nearest.has(drift.part)) nearest.set(drift.part, drift);
  }
  return Array.from(nearest, ([part, { layer, kind, headroom }]) => {
    const room = Number.isFinite(headroom) ? `headroom ${headroom}` : 'not finite';
    return `${part}: ${room} at least (${kind} of ${layer})`;
  });
}

function cellsOf({ layer, part, kind, first, last, headroom, slope, stepsLeft, vanished }: Drift): string[] {
  const exponent = (value: number | null) =>
    value === null ? '-' : Number.isFinite(value) ? String(value) : value > 0 ? 'not finite' : 'overflow';
  return [
    layer === '' ? '(model)' : layer,
    part ?? '',
    kind,
    exponent(first),
    exponent(last),
    exponent(headroom),
    slope.toFixed(2),
    stepsLeft === null ? '-' : String(stepsLeft),
    `${(100 * vanished).toFixed(2)} %`,
  ];
}
