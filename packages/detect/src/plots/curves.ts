import { meanCurve } from '../metrics/ap.ts';
import type { DetectionResult } from '../metrics/detection.ts';
import { Axes, INK } from './axes.ts';
import { drawableNames } from './class-names.ts';
import { classColor } from './palette.ts';
import { svgDocument, svgPolyline, writeSvg } from './svg.ts';
import { fitText, svgText, textWidth } from './text.ts';

const WIDTH = 1350;
const HEIGHT = 900;
const AREA = { x: 90, y: 60, width: 900, height: 750 };
const LEGEND = { x: 1010, width: 320, lineHeight: 26 };
const MEAN = '#15191d';
const MEAN_WIDTH = 4;
const CLASS = '#b4bac0';
/** With more classes their lines are grey and only the mean is named. */
const NAMED_CLASSES = 20;

interface CurvePlot {
  readonly file: string;
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly curves: (result: DetectionResult) => readonly Float64Array[];
  /** What the legend says beside a class name. */
  readonly ofClass?: (result: DetectionResult, k: number) => string;
  /** What the legend says of the mean over the classes. */
  readonly ofMean: (result: DetectionResult, mean: Float64Array) => string;
}

/** The mean curve at its best confidence. */
function highest(result: DetectionResult, mean: Float64Array): string {
  let best = 0;
  for (let i = 1; i < mean.length; i++) if (mean[i]! > mean[best]!) best = i;
  return `${(mean[best] ?? 0).toFixed(2)} at ${(result.curves.x[best] ?? 0).toFixed(3)}`;
}

const PLOTS: readonly CurvePlot[] = [
  {
    file: 'BoxPR_curve.png',
    title: 'Precision-Recall Curve',
    xLabel: 'Recall',
    yLabel: 'Precision',
    curves: (result) => result.curves.precisionOverRecall,
    ofClass: (result, k) => result.perClass[k]!.ap50.toFixed(3),
    ofMean: (result) => `${result.box.map50.toFixed(3)} mAP@0.5`,
  },
  {
    file: 'BoxF1_curve.png',
    title: 'F1-Confidence Curve',
    xLabel: 'Confidence',
    yLabel: 'F1',
    curves: (result) => result.curves.f1,
    ofMean: highest,
  },
  {
    file: 'BoxP_curve.png',
    title: 'Precision-Confidence Curve',
    xLabel: 'Confidence',
    yLabel: 'Precision',
    curves: (result) => result.curves.precision,
    ofMean: highest,
  },
  {
    file: 'BoxR_curve.png',
    title: 'Recall-Confidence Curve',
    xLabel: 'Confidence',
    yLabel: 'Recall',
    curves: (result) => result.curves.recall,
    ofMean: highest,
  },
];

/**
 * Draws the precision-recall curve and precision, recall and F1 over the confidence.
 *
 * @returns the files written: `BoxPR_curve.png`, `BoxF1_curve.png`, `BoxP_curve.png`, `BoxR_curve.png`
 */
export async function plotCurves(result: DetectionResult, folder: string): Promise<string[]> {
  return Promise.all(
    PLOTS.map(async (plot) => {
      const file = `${folder}/${plot.file}`;
      await writeSvg(svgCurves(result, plot), file);
      return file;
    }),
  );
}

function svgCurves(result: DetectionResult, plot: CurvePlot): string {
  const { title, xLabel, yLabel } = plot;
  const axes = new Axes({ ...AREA, xRange: [0, 1], yRange: [0, 1.02], title, xLabel, yLabel, fontSize: 18 });
  const curves = plot.curves(result);
  const named = curves.length <= NAMED_CLASSES;
  const mean = meanCurve(curves);
  const names = drawableNames(result.names);
  // A single class is its own mean.
  const [only] = result.perClass.length === 1 ? result.perClass : [];
  const whole = {
    color: only ? classColor(only.id) : MEAN,
    width: MEAN_WIDTH,
    name: only ? names[only.id]! : 'all classes',
    number: plot.ofMean(result, mean),
  };
  const lines = (only ? [] : curves).map((curve, k) => {
    const color = named ? classColor(result.perClass[k]!.id) : CLASS;
    return axes.line(result.curves.x, curve, { color, width: named ? 2 : 1 });
  });
  const each: LegendEntry[] = named
    ? result.perClass.map(({ id }, k) => {
        const number = plot.ofClass?.(result, k);
        return { color: classColor(id), width: 2, name: names[id]!, ...(number ? { number } : {}) };
      })
    : [{ color: CLASS, width: 2, name: `each of ${curves.length} classes` }];
  const entries = [...(only ? [] : each), whole];
  return svgDocument(
    WIDTH,
    HEIGHT,
    [
      axes.frame(),
      ...lines,
      axes.line(result.curves.x, mean, whole),
      ...entries.map((entry, i) => svgLegendEntry(entry, AREA.y + 16 + LEGEND.lineHeight * i)),
    ].join(''),
  );
}

interface LegendEntry {
  readonly color: string;
  readonly width: number;
  readonly name: string;
  /** Never cut off, unlike the name. */
  readonly number?: string;
}

function svgLegendEntry({ color, width, name, number = '' }: LegendEntry, y: number): string {
  const size = 18;
  const tail = number === '' ? '' : ` ${number}`;
  const text = fitText(name, size, LEGEND.width - 60 - textWidth(tail, size)) + tail;
  return (
    svgPolyline(
      [
        [LEGEND.x, y],
        [LEGEND.x + 36, y],
      ],
      { color, width },
    ) + svgText(text, LEGEND.x + 48, y + 6, { size, color: INK })
  );
}
