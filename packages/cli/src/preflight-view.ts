import type { DetectorReport } from '@mezzo/detect';
import { counted, decimalBytes, general } from './number-format.ts';
import type { Terminal } from './terminal.ts';

type Paint = Pick<Terminal, 'bold' | 'dim' | 'green' | 'red' | 'yellow'>;

/** The report of `mezzo check` for reading: verdict, what was checked, the numbers, then the findings. */
export function reportLines(report: DetectorReport, paint: Paint): string[] {
  const verdict = report.ok ? paint.green(report.line) : paint.red(report.line);
  return [
    paint.bold(verdict),
    subject(report),
    ...numberLines(report, paint),
    ...rangeLines(report, paint),
    ...findingLines(report, paint),
  ];
}

function subject({
  model,
  data,
  imgsz,
  batch,
  device,
  amp,
  cached,
  cacheNote,
  numbers,
}: DetectorReport): string {
  const channels = model.channels === null ? [] : [counted(model.channels, 'channel')];
  const precision = amp === null || device === null ? [] : [`${amp.dtype} on ${device} (${amp.reason})`];
  const time = cached
    ? ['known from an earlier check']
    : numbers.seconds > 0
      ? [`${numbers.seconds.toFixed(1)} s`]
      : [];
  const note = cacheNote === null ? [] : [cacheNote];
  const parts = [model.name, ...channels, data ?? 'made-up pictures', `batch ${batch}`, `${imgsz} px`];
  return [...parts, ...precision, ...time, ...note].join(', ');
}

const NOTHING = '';
const HEAD = ['', 'low precision', 'rounding alone'] as const;

/** What low precision does, beside what rounding alone would: the price of the format. */
function numberLines({ numbers: n }: DetectorReport, { dim }: Paint): string[] {
  if (n.lossGap === null) return [];
  const rows: (readonly [string, string, string])[] = [
    ['loss gap', percent(n.lossGap), percent(n.roundingLossGap)],
    ['gradient cosine', plain(n.gradCosine), plain(n.roundingGradCosine)],
    ['least of a layer', plain(n.minGradCosine), NOTHING],
  ];
  if (n.boxErrorPx !== null)
    rows.push(['box error', `${general(n.boxErrorPx, 2)} px`, pixels(n.roundingDifferences.boxErrorPx)]);
  const { assignmentChanges } = n.differences;
  if (assignmentChanges !== undefined)
    rows.push([
      'assignment changes',
      percent(assignmentChanges),
      percent(n.roundingDifferences.assignmentChanges ?? null),
    ]);
  if (n.convolutionError !== null)
    rows.push(['convolutions', `${n.convolutions} right`, `error ${general(n.convolutionError, 2)} at most`]);
  if (n.scale !== null && n.scale !== 1) rows.push(['loss scale', general(n.scale, 8), NOTHING]);
  if (n.peakBytes !== null && n.peakBytesFloat32 !== null)
    rows.push(['memory', decimalBytes(n.peakBytes), `float32: ${decimalBytes(n.peakBytesFloat32)}`]);
  const line = ([name, value, beside]: readonly [string, string, string]) =>
    `  ${name.padEnd(20)}${value.padEnd(16)}${beside}`.trimEnd();
  return ['', dim(line(HEAD)), ...rows.map(line)];
}

const percent = (value: number | null) => (value === null ? NOTHING : `${general(100 * value, 2)} %`);
const plain = (value: number | null) => (value === null ? NOTHING : value.toFixed(3));
const pixels = (value: number | undefined) => (value === undefined ? NOTHING : `${general(value, 2)} px`);

/** Of a network of several streams: what each sensor's pixels and each stream's features are like. */
function rangeLines({ ranges }: DetectorReport, { dim }: Paint): string[] {
  if (ranges === null) return [];
  const line = (name: string, cells: readonly string[]) =>
    `  ${name.padEnd(20)}${cells.map((cell) => cell.padEnd(18)).join('')}`.trimEnd();
  return [
    '',
    dim(line('pixels of', ['levels', 'mean ± deviation', 'missing'])),
    ...ranges.pixels.map(({ modality, min, max, mean, deviation, missing }) =>
      line(modality, [`${min} to ${max}`, `${mean.toFixed(1)} ± ${deviation.toFixed(1)}`, percent(missing)]),
    ),
    '',
    dim(line('features of', ['largest', 'in'])),
    ...ranges.streams.map(({ stream, largest, layer }) => line(stream, [general(largest, 3), layer])),
  ];
}

function findingLines({ findings }: DetectorReport, { red, yellow, dim }: Paint): string[] {
  const colours = { error: red, island: yellow, warning: yellow, note: dim };
  return findings.flatMap(({ severity, class: of, code, message, remedy }) => [
    '',
    `${colours[severity](severity.padEnd(8))}${of}: ${message} [${code}]`,
    `${dim('remedy'.padEnd(8))}${remedy}`,
  ]);
}
