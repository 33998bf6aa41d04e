import type { EpochEvent, StepEvent } from '@mezzo/detect';
import { general, gibibytes, share } from './number-format.ts';
import type { ProgressStyle } from './progress.ts';

/** Of a column in Ultralytics' tables. */
const WIDTH = 11;

function row(cells: readonly string[]): string {
  return cells.map((cell) => cell.padStart(WIDTH)).join('');
}

/** A column of the training line. */
interface Column {
  readonly name: string;
  /** Where lines are short: the width that its values need. */
  readonly width: number;
  readonly show: (event: StepEvent) => string;
  /** Left out where lines are short. */
  readonly extra?: boolean;
}

/** How much of the training line there is room for. */
interface Layout {
  readonly widths: 'even' | 'tight';
  readonly extra: boolean;
  readonly form: NonNullable<ProgressStyle['form']>;
  /** Whether the shares of the phases are shown. */
  readonly phases: boolean;
  /** Characters that the progress behind the columns may need; on a GPU some more, for how busy it is. */
  readonly progress: number;
  readonly gpu: number;
}

/** From rich to poor. */
const LAYOUTS: readonly Layout[] = [
  { widths: 'even', extra: true, form: 'bar', phases: true, progress: 88, gpu: 10 },
  { widths: 'tight', extra: true, form: 'plain', phases: true, progress: 76, gpu: 10 },
  { widths: 'tight', extra: false, form: 'plain', phases: true, progress: 76, gpu: 10 },
  { widths: 'tight', extra: false, form: 'plain', phases: false, progress: 51, gpu: 10 },
  { widths: 'tight', extra: false, form: 'short', phases: false, progress: 34, gpu: 0 },
];

/**
 * The line of a training step, as rich as the terminal is wide: Ultralytics' columns (with the loss scale and the
 * skipped steps when a scaler is at work), then how far the epoch is, images a second, the shares of the time that
 * went into waiting for batches and into the phases of a step, and how busy the card is where that is known.
 */
export class TrainingLine {
  readonly #columns: readonly Column[];
  readonly #layout: Layout;

  /** @param width characters in a line of the terminal */
  constructor(losses: readonly string[], device: string, scaler: boolean, width: number) {
    const columns = columnsOf(losses, device, scaler);
    const fits = (layout: Layout) => {
      const progress = layout.progress + (device === 'cpu' ? 0 : layout.gpu);
      return headerOf(columns, layout).length + progress < width;
    };
    this.#layout = LAYOUTS.find(fits) ?? LAYOUTS.at(-1)!;
    this.#columns = columns;
  }

  header(): string {
    return headerOf(this.#columns, this.#layout);
  }

  row(event: StepEvent): string {
    return cellsOf(this.#columns, this.#layout, ({ show }) => show(event));
  }

  /** What stands behind the row. */
  progress({ imagesPerSecond, waitShare, phases, gpu }: StepEvent): ProgressStyle {
    const { form } = this.#layout;
    const busy = form === 'short' ? null : (gpu?.utilization ?? null);
    const parts = [
      `${imagesPerSecond.toFixed(imagesPerSecond < 100 ? 1 : 0)}img/s`,
      `wait ${share(waitShare)}`,
      ...(this.#layout.phases ? [phaseShares(phases)] : []),
      ...(busy === null ? [] : [`GPU ${share(busy)}`]),
    ];
    return { form, rate: parts.join(', ') };
  }
}

function columnsOf(losses: readonly string[], device: string, scaler: boolean): Column[] {
  return [
    { name: 'Epoch', width: 8, show: ({ epoch, epochs }) => `${epoch}/${epochs}` },
    {
      name: device === 'cpu' ? 'Memory' : 'GPU_mem',
      width: 8,
      show: ({ memoryBytes }) => gibibytes(memoryBytes),
    },
    ...losses.map((name) => ({
      name: `${name}_loss`,
      width: 9,
      show: (event: StepEvent) => general(event.losses[name] ?? Number.NaN),
    })),
    { name: 'Instances', width: 10, show: ({ instances }) => String(instances), extra: true },
    { name: 'Size', width: 5, show: ({ size }) => String(size), extra: true },
    ...(scaler
      ? [
          { name: 'Scale', width: 7, show: ({ scale }: StepEvent) => general(scale ?? 1, 6), extra: true },
          { name: 'Skipped', width: 8, show: ({ skipped }: StepEvent) => String(skipped ?? 0), extra: true },
        ]
      : []),
  ];
}

function headerOf(columns: readonly Column[], layout: Layout): string {
  return cellsOf(columns, layout, ({ name }) => name);
}

function cellsOf(
  columns: readonly Column[],
  { widths, extra }: Layout,
  text: (column: Column) => string,
): string {
  return columns
    .filter((column) => extra || !column.extra)
    .map((column) => text(column).padStart(widths === 'even' ? WIDTH : column.width))
    .join('');
}

const SHORT_NAMES = [
  ['forward', 'fwd'],
  ['backward', 'bwd'],
  ['optimizer', 'opt'],
] as const;

/** `fwd 33% bwd 61% opt 3%` of the time of the epoch so far; what is left is the wait. */
function phaseShares(phases: StepEvent['phases']): string {
  const total = Object.values(phases).reduce((sum, seconds) => sum + seconds, 0);
  return SHORT_NAMES.map(([phase, name]) => `${name} ${share(total > 0 ? phases[phase] / total : 0)}`).join(
    ' ',
  );
}

/** `12.3 s: data 0.2, forward 4.0, backward 6.1, optimizer 0.3, validation 1.5`: where the time of an epoch went. */
export function phasesLine({ seconds, phases }: EpochEvent): string {
  const parts = Object.entries(phases).map(([name, part]) => `${name} ${part.toFixed(1)}`);
  return `${' '.repeat(5)}${seconds.toFixed(1)} s: ${parts.join(', ')}`;
}

/** Columns of the lines for a log that come and go with what a run has. */
export interface EpochColumns {
  readonly scaler: boolean;
  readonly gpu: boolean;
}

/** The header of the lines that are written where nobody watches: one for each epoch. */
export function epochHeader(losses: readonly string[], { scaler, gpu }: EpochColumns): string {
  return row([
    'Epoch',
    'Memory',
    ...losses.map((name) => `${name}_loss`),
    ...(scaler ? ['Scale', 'Skipped'] : []),
    ...['P', 'R', 'mAP50', 'mAP50-95', 'Seconds', 'Images/s', 'Wait'],
    ...(gpu ? ['GPU'] : []),
  ]);
}

export function epochRow(event: EpochEvent, { scaler, gpu }: EpochColumns): string {
  const { epoch, epochs, peakBytes, losses, scale, skipped, precision, recall, map50, map } = event;
  const busy = event.gpu?.utilization ?? null;
  return row([
    `${epoch}/${epochs}`,
    gibibytes(peakBytes),
    ...Object.values(losses).map((loss) => general(loss)),
    ...(scaler ? [general(scale ?? 1, 6), String(skipped)] : []),
    ...[precision, recall, map50, map].map((part) => general(part, 3)),
    event.seconds.toFixed(1),
    event.imagesPerSecond.toFixed(1),
    share(event.waitShare),
    ...(gpu ? [busy === null ? '-' : share(busy)] : []),
  ]);
}
