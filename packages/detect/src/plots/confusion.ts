import type { ConfusionMatrix } from '../metrics/confusion.ts';
import { INK } from './axes.ts';
import { drawableNames } from './class-names.ts';
import { heatColor } from './heat.ts';
import { readableOn } from './palette.ts';
import { svgDocument, svgGradient, svgPolyline, svgRect, writeSvg } from './svg.ts';
import { capHeight, fitText, svgText, textWidth } from './text.ts';
import { niceTicks, tickLabels } from './ticks.ts';

const MARGIN = { top: 80, right: 160, bottom: 60, left: 70 };
/** With more classes the cells have no numbers. */
const NUMBERED_CLASSES = 30;
/** Pixels along each side of the matrix, and of a cell that a number or a name needs. */
const SIDE = { least: 900, most: 2400 };
const CELL = { number: 36, name: 20 };
const LONGEST_NAME = 260;

/**
 * Draws the confusion matrix twice, as counts and with every column divided by its sum.
 *
 * @returns the files written: `confusion_matrix.png`, `confusion_matrix_normalized.png`
 */
export async function plotConfusion(
  matrix: ConfusionMatrix,
  names: readonly string[],
  folder: string,
): Promise<string[]> {
  const pictures = [
    {
      file: `${folder}/confusion_matrix.png`,
      title: 'Confusion Matrix',
      values: matrix.counts,
      peak: matrix.counts.reduce((a, b) => Math.max(a, b), 0) || 1,
      text: (value: number) => (value === 0 ? '' : String(value)),
    },
    {
      file: `${folder}/confusion_matrix_normalized.png`,
      title: 'Confusion Matrix Normalized',
      values: matrix.normalized(),
      peak: 1,
      text: (value: number) => (value < 0.005 ? '' : value.toFixed(2)),
    },
  ];
  for (const picture of pictures)
    await writeSvg(svgMatrix(picture, [...drawableNames(names), 'background']), picture.file);
  return pictures.map(({ file }) => file);
}

interface MatrixPicture {
  readonly title: string;
  readonly values: Float64Array;
  /** The value of the darkest colour. */
  readonly peak: number;
  readonly text: (value: number) => string;
}

function svgMatrix({ title, values, peak, text }: MatrixPicture, names: readonly string[]): string {
  const size = names.length;
  const numbered = size <= NUMBERED_CLASSES + 1;
  const wanted = size * (numbered ? CELL.number : CELL.name);
  const side = Math.min(Math.max(wanted, SIDE.least), SIDE.most);
  const cell = side / size;
  // where there are too many names for the picture, every second one is there, or every third …
  const every = Math.ceil(CELL.name / 2 / cell);
  const nameSize = Math.min(20, every * cell * 0.7);
  const shown = names.map((name, i) => (i % every === 0 ? fitText(name, nameSize, LONGEST_NAME) : ''));
  const nameSpace = Math.max(...shown.map((name) => textWidth(name, nameSize))) + 16;
  const left = MARGIN.left + nameSpace;
  const top = MARGIN.top;
  const widest = Math.max(...Array.from(values, (value) => textWidth(text(value), 1)), 1);
  const numberSize = Math.min(24, cell * 0.36, (cell * 0.85) / widest);
  const parts: string[] = [];
  values.forEach((value, i) => {
    const x = left + (i % size) * cell;
    const y = top + Math.floor(i / size) * cell;
    const color = heatColor(value / peak);
    if (value > 0) parts.push(svgRect(x, y, cell + 0.5, cell + 0.5, { fill: color }));
    if (!numbered) return;
    parts.push(
      svgText(text(value), x + cell / 2, y + (cell + capHeight(numberSize)) / 2, {
        size: numberSize,
        color: readableOn(color),
        anchor: 'middle',
      }),
    );
  });
  parts.push(svgRect(left, top, side, side, { stroke: INK }));
  const style = { size: nameSize, color: INK };
  shown.forEach((name, i) => {
    const middle = (i + 0.5) * cell;
    const baseline = capHeight(nameSize) / 2;
    parts.push(svgText(name, left - 10, top + middle + baseline, { ...style, anchor: 'end' }));
    parts.push(
      svgText(name, left + middle + baseline, top + side + 10, { ...style, anchor: 'end', rotate: -90 }),
    );
  });
  const large = { size: 26, color: INK, anchor: 'middle' } as const;
  const height = top + side + nameSpace + MARGIN.bottom;
  parts.push(svgText(title, left + side / 2, 48, { ...large, bold: true }));
  parts.push(svgText('True', left + side / 2, height - 22, large));
  parts.push(svgText('Predicted', 40, top + side / 2, { ...large, rotate: -90 }));
  parts.push(svgScale(left + side + 40, top, side, peak));
  return svgDocument(left + side + MARGIN.right, height, parts.join(''));
}

/** The colour bar. */
function svgScale(x: number, y: number, side: number, peak: number): string {
  const stops = Array.from({ length: 9 }, (_, i) => heatColor(1 - i / 8));
  const ticks = niceTicks([0, peak], 5).filter((tick) => peak <= 1 || Number.isInteger(tick));
  const labels = tickLabels(ticks);
  const marks = ticks.map((tick, i) => {
    const at = y + side * (1 - tick / peak);
    const mark = svgPolyline(
      [
        [x + 30, at],
        [x + 36, at],
      ],
      { color: INK, width: 1 },
    );
    return mark + svgText(labels[i]!, x + 44, at + 6, { size: 18, color: INK });
  });
  return [
    svgGradient('scale', stops),
    svgRect(x, y, 30, side, { fill: 'url(#scale)', stroke: INK }),
    ...marks,
  ].join('');
}
