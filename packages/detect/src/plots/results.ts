import { Axes, INK } from './axes.ts';
import { gaussianSmooth } from './smooth.ts';
import { svgDocument, svgPolyline, writeSvg } from './svg.ts';
import { svgText } from './text.ts';
import { paddedRange } from './ticks.ts';

const RAW = '#2f7ed8';
const SMOOTH = '#f07f3c';
const PANEL = { width: 400, height: 400, left: 68, right: 22, top: 52, bottom: 56 };
const SIGMA = 3;
/** Over fewer epochs the smoothed line would be their mean and nothing else. */
const SMOOTHED_EPOCHS = 2 * SIGMA;
/** With more epochs there is no dot for each. */
const DOTTED_EPOCHS = 60;
const LINES = {
  raw: { color: RAW, width: 2, opacity: 0.75 },
  smooth: { color: SMOOTH, width: 2.5 },
} as const;

/** The numbers of a training run: one column per measure, one value per epoch. */
export interface TrainingHistory {
  /** Epoch numbers, from 1. */
  readonly epochs: readonly number[];
  /** Values by the column names of `results.csv`. */
  readonly columns: ReadonlyMap<string, readonly number[]>;
}

/** Draws losses and metrics over the epochs, raw and, from seven epochs on, smoothed, as in `results.png`. */
export async function plotResults(history: TrainingHistory, file: string): Promise<void> {
  await writeSvg(svgResults(history), file);
}

/** Two rows: training losses with precision and recall above, validation losses with the two mAP below. */
export function svgResults(history: TrainingHistory): string {
  const names = [...history.columns.keys()];
  const starting = (prefix: string) => names.filter((name) => name.startsWith(prefix));
  const metrics = starting('metrics/');
  const rows = [
    [...starting('train/'), ...metrics.slice(0, 2)],
    [...starting('val/'), ...metrics.slice(2)],
  ];
  const panels = rows.flatMap((row, r) =>
    row.map((name, c) => svgPanel(history, name, c * PANEL.width, r * PANEL.height)),
  );
  const width = PANEL.width * Math.max(...rows.map((row) => row.length), 1);
  return svgDocument(
    width,
    PANEL.height * rows.length,
    panels.join('') + (history.epochs.length > SMOOTHED_EPOCHS ? svgLegend(PANEL.width + PANEL.left) : ''),
  );
}

function svgPanel({ epochs, columns }: TrainingHistory, name: string, left: number, top: number): string {
  const known = epochs
    .map((epoch, i) => [epoch, columns.get(name)![i]!] as const)
    .filter(([, value]) => Number.isFinite(value));
  const xs = known.map(([epoch]) => epoch);
  const ys = known.map(([, value]) => value);
  const [low, high] = paddedRange(ys);
  const axes = new Axes({
    x: left + PANEL.left,
    y: top + PANEL.top,
    width: PANEL.width - PANEL.left - PANEL.right,
    height: PANEL.height - PANEL.top - PANEL.bottom,
    xRange: paddedRange(epochs),
    // A share is seen against 0, a loss in its own range.
    yRange: name.startsWith('metrics/') ? [0, ys.some((y) => y > 0) ? high : 1] : [low, high],
    title: name,
    xLabel: 'epoch',
    wholeX: true,
  });
  return (
    axes.frame() +
    axes.line(xs, ys, LINES.raw) +
    (epochs.length > DOTTED_EPOCHS ? '' : axes.dots(xs, ys, RAW, 3.5)) +
    (epochs.length > SMOOTHED_EPOCHS ? axes.line(xs, gaussianSmooth(ys, SIGMA), LINES.smooth) : '')
  );
}

function svgLegend(x: number): string {
  const entries = [
    ['epochs', LINES.raw],
    ['smoothed', LINES.smooth],
  ] as const;
  return entries
    .map(([label, style], i) => {
      const y = PANEL.top + 22 + 22 * i;
      const line = svgPolyline(
        [
          [x + PANEL.width - 210, y],
          [x + PANEL.width - 176, y],
        ],
        style,
      );
      return line + svgText(label, x + PANEL.width - 166, y + 5, { size: 14, color: INK });
    })
    .join('');
}
