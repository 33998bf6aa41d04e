import { Axes, INK } from './axes.ts';
import { heatColor } from './heat.ts';
import { classColor } from './palette.ts';
import { svgDocument, svgRect, writeSvg } from './svg.ts';
import { fitText, svgText } from './text.ts';

const PANEL = 640;
const AREA = { left: 90, top: 50, size: 510 };
const BINS = 50;
const OUTLINES = 500;
/** With more classes the histogram has numbers instead of names. */
const NAMED_CLASSES = 30;

/** All true boxes of a data set. */
export interface LabelStatistics {
  /** Class of every box. */
  readonly cls: Int32Array;
  /** Centre x, centre y, width and height of every box, as fractions of its image. */
  readonly boxes: Float32Array;
}

/** Draws boxes per class, boxes laid over each other, and where centres and sizes lie, as in `labels.jpg`. */
export async function plotLabels(
  labels: LabelStatistics,
  names: readonly string[],
  file: string,
): Promise<void> {
  const panels = [
    svgHistogram(labels.cls, names),
    shifted(svgOutlines(labels), PANEL, 0),
    shifted(svgHeatMap(labels.boxes, 0, 'x', 'y'), 0, PANEL),
    shifted(svgHeatMap(labels.boxes, 2, 'width', 'height'), PANEL, PANEL),
  ];
  await writeSvg(svgDocument(2 * PANEL, 2 * PANEL, panels.join('')), file);
}

function svgHistogram(cls: Int32Array, names: readonly string[]): string {
  const counts = new Array<number>(names.length).fill(0);
  for (const id of cls) counts[id]!++;
  const named = names.length <= NAMED_CLASSES;
  // names below the axis need room
  const height = AREA.size - (named ? 90 : 0);
  const axes = new Axes({
    x: AREA.left,
    y: AREA.top,
    width: AREA.size,
    height,
    xRange: [-0.5, names.length - 0.5],
    yRange: [0, Math.max(1, ...counts) * 1.08],
    title: 'instances',
    ...(named ? { hideX: true } : { xLabel: 'class' }),
    wholeX: true,
  });
  const slot = AREA.size / names.length;
  const size = Math.max(6, Math.min(16, slot * 0.8));
  const bars = counts.map((count, id) => {
    const middle = axes.atX(id);
    const top = axes.atY(count);
    const bar = svgRect(middle - slot * 0.4, top, slot * 0.8, axes.atY(0) - top, { fill: classColor(id) });
    if (!named) return bar;
    const name = svgText(fitText(names[id]!, size, 120), middle + size * 0.35, axes.atY(0) + 10, {
      size,
      color: INK,
      anchor: 'end',
      rotate: -90,
    });
    return (
      bar +
      name +
      svgText(String(count), middle, top - 5, { size: size * 0.85, color: INK, anchor: 'middle' })
    );
  });
  return axes.frame() + bars.join('');
}

/** Up to 500 boxes, evenly taken, with their centres on one point. */
function svgOutlines({ cls, boxes }: LabelStatistics): string {
  const count = Math.min(cls.length, OUTLINES);
  const outlines = Array.from({ length: count }, (_, i) => {
    const k = Math.floor((i * cls.length) / count);
    const width = boxes[4 * k + 2]! * AREA.size;
    const height = boxes[4 * k + 3]! * AREA.size;
    const x = AREA.left + (AREA.size - width) / 2;
    const y = AREA.top + (AREA.size - height) / 2;
    return svgRect(x, y, width, height, { stroke: classColor(cls[k]!), opacity: 0.7 });
  });
  const title = svgText('boxes, centred', AREA.left + AREA.size / 2, AREA.top - 10, {
    size: 17,
    color: INK,
    anchor: 'middle',
    bold: true,
  });
  return title + outlines.join('') + svgRect(AREA.left, AREA.top, AREA.size, AREA.size, { stroke: INK });
}

/** How often two neighbouring fields of the boxes take each pair of values. */
function svgHeatMap(boxes: Float32Array, field: number, xLabel: string, yLabel: string): string {
  const bins = new Float64Array(BINS * BINS);
  const bin = (value: number) => Math.min(Math.max(Math.floor(value * BINS), 0), BINS - 1);
  for (let i = field; i < boxes.length; i += 4) bins[bin(boxes[i + 1]!) * BINS + bin(boxes[i]!)]!++;
  const peak = bins.reduce((a, b) => Math.max(a, b), 0) || 1;
  const axes = new Axes({
    x: AREA.left,
    y: AREA.top,
    width: AREA.size,
    height: AREA.size,
    xRange: [0, 1],
    yRange: [0, 1],
    title: `${yLabel} over ${xLabel}`,
    xLabel,
    yLabel,
  });
  const cell = AREA.size / BINS;
  const cells = Array.from(bins, (count, i) =>
    count === 0
      ? ''
      : svgRect(axes.atX((i % BINS) / BINS), axes.atY((Math.floor(i / BINS) + 1) / BINS), cell, cell, {
          // the root lets rare places show
          fill: heatColor(0.15 + 0.85 * Math.sqrt(count / peak)),
        }),
  );
  return axes.frame() + cells.join('');
}

function shifted(svg: string, x: number, y: number): string {
  return `<g transform="translate(${x} ${y})">${svg}</g>`;
}
