import type { ConfusionMatrix } from '../metrics/confusion.ts';
import { INK } from './axes.ts';
import { heatColor } from './heat.ts';
import { readableOn } from './palette.ts';
import { svgDocument, svgPolyline, svgRect, writeSvg } from './svg.ts';
import { capHeight, fitText, svgText, textWidth } from './text.ts';

const SIDE = 900;
const MARGIN = { top: 80, right: 160, bottom: 60, left: 70 };
/** With more classes the cells are too small for numbers. */
const NUMBERED_CLASSES = 30;
const LONGEST_NAME = 160;

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
  for (const picture of pictures) await writeSvg(svgMatrix(picture, [...names, 'background']), picture.file);
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
  const cell = SIDE / size;
  const nameSize = Math.max(4, Math.min(20, cell * 0.7));
  const shown = names.map((name) => fitText(name, nameSize, LONGEST_NAME));
  const nameSpace = Math.max(...shown.map((name) => textWidth(name, nameSize))) + 16;
  const left = MARGIN.left + nameSpace;
  const top = MARGIN.top;
  const numberSize = Math.max(6, Math.min(24, cell * 0.28));
  const parts: string[] = [];
  values.forEach((value, i) => {
    const x = left + (i % size) * cell;
    const y = top + Math.floor(i / size) * cell;
    const color = heatColor(value / peak);
    parts.push(svgRect(x, y, cell + 0.5, cell + 0.5, { fill: color }));
    if (size > NUMBERED_CLASSES) return;
    parts.push(
      svgText(text(value), x + cell / 2, y + (cell + capHeight(numberSize)) / 2, {
        size: numberSize,
        color: readableOn(color),
        anchor: 'middle',
      }),
    );
  });
  parts.push(svgRect(left, top, SIDE, SIDE, { stroke: INK }));
  const style = { size: nameSize, color: INK };
  shown.forEach((name, i) => {
    const middle = (i + 0.5) * cell;
    const baseline = capHeight(nameSize) / 2;
    parts.push(svgText(name, left - 10, top + middle + baseline, { ...style, anchor: 'end' }));
    parts.push(
      svgText(name, left + middle + baseline, top + SIDE + 10, { ...style, anchor: 'end', rotate: -90 }),
    );
  });
  const large = { size: 26, color: INK, anchor: 'middle' } as const;
  const height = top + SIDE + nameSpace + MARGIN.bottom;
  parts.push(svgText(title, left + SIDE / 2, 48, { ...large, bold: true }));
  parts.push(svgText('True', left + SIDE / 2, height - 22, large));
  parts.push(svgText('Predicted', 40, top + SIDE / 2, { ...large, rotate: -90 }));
  parts.push(svgScale(left + SIDE + 40, top, peak));
  return svgDocument(left + SIDE + MARGIN.right, height, parts.join(''));
}

/** The colour bar. */
function svgScale(x: number, y: number, peak: number): string {
  const steps = 64;
  const height = SIDE / steps;
  const bars = Array.from({ length: steps }, (_, i) =>
    svgRect(x, y + i * height, 30, height + 0.5, { fill: heatColor(1 - i / (steps - 1)) }),
  );
  const marks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = y + SIDE * (1 - share);
    const label = peak <= 1 ? (share * peak).toFixed(2) : String(Math.round(share * peak));
    const tick = svgPolyline(
      [
        [x + 30, at],
        [x + 36, at],
      ],
      { color: INK, width: 1 },
    );
    return tick + svgText(label, x + 44, at + 6, { size: 18, color: INK });
  });
  return [...bars, svgRect(x, y, 30, SIDE, { stroke: INK }), ...marks].join('');
}
