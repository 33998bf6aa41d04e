import { Axes, INK } from './axes.ts';
import { drawableNames } from './class-names.ts';
import { heatColor } from './heat.ts';
import { classColor } from './palette.ts';
import { svgDocument, svgRect, writeSvg } from './svg.ts';
import { fitText, svgText, textWidth } from './text.ts';

const MARGIN = { left: 90, top: 50, right: 40, bottom: 80 };
/** Pixels along each side of a panel's area: with few classes, and with many. */
const SIDE = { least: 510, most: 1200 };
/** Pixels of a class in the histogram that its name needs. */
const NAME_SLOT = 12;
/** With more classes the histogram has numbers instead of names. */
const NAMED_CLASSES = SIDE.most / NAME_SLOT;
const LONGEST_NAME = 120;
const BINS = 50;
const OUTLINES = 500;

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
  const named = names.length <= NAMED_CLASSES;
  const side = named ? Math.max(SIDE.least, names.length * NAME_SLOT) : SIDE.least;
  const [width, height] = [MARGIN.left + side + MARGIN.right, MARGIN.top + side + MARGIN.bottom];
  const panels = [
    svgHistogram(labels.cls, named ? drawableNames(names) : null, names.length, side),
    shifted(svgOutlines(labels, side), width, 0),
    // y downwards, as in the pictures themselves
    shifted(
      svgHeatMap(labels.boxes, 0, { title: 'centres of boxes', axes: ['x', 'y'], yUp: false }, side),
      0,
      height,
    ),
    shifted(
      svgHeatMap(labels.boxes, 2, { title: 'sizes of boxes', axes: ['width', 'height'], yUp: true }, side),
      width,
      height,
    ),
  ];
  await writeSvg(svgDocument(2 * width, 2 * height, panels.join('')), file);
}

/** @param names null numbers the classes */
function svgHistogram(
  cls: Int32Array,
  names: readonly string[] | null,
  classes: number,
  side: number,
): string {
  const counts = new Array<number>(classes).fill(0);
  for (const id of cls) counts[id]!++;
  const slot = side / classes;
  const size = Math.min(16, slot * 0.8);
  const shown = (names ?? []).map((name) => fitText(name, size, LONGEST_NAME));
  const axes = new Axes({
    x: MARGIN.left,
    y: MARGIN.top,
    width: side,
    // what names need below the axis beyond the margin
    height: side - Math.max(0, ...shown.map((name) => textWidth(name, size) + 30 - MARGIN.bottom)),
    xRange: [-0.5, classes - 0.5],
    yRange: [0, Math.max(1, ...counts) * 1.08],
    title: 'boxes of each class',
    ...(names === null ? { xLabel: 'class' } : { hideX: true }),
    wholeX: true,
    wholeY: true,
  });
  const bars = counts.map((count, id) => {
    const middle = axes.atX(id);
    const top = axes.atY(count);
    const bar = svgRect(middle - slot * 0.4, top, slot * 0.8, axes.atY(0) - top, { fill: classColor(id) });
    if (names === null) return bar;
    const name = svgText(shown[id]!, middle + size * 0.35, axes.atY(0) + 10, {
      size,
      color: INK,
      anchor: 'end',
      rotate: -90,
    });
    return bar + name + svgCount(count, middle, top - 5, size * 0.85, slot);
  });
  return axes.frame() + bars.join('');
}

/** The number above a bar: upright where it is narrower than its slot, else along the bar's direction. */
function svgCount(count: number, x: number, y: number, size: number, slot: number): string {
  const text = String(count);
  if (textWidth(text, size) <= slot) return svgText(text, x, y, { size, color: INK, anchor: 'middle' });
  return svgText(text, x + size * 0.35, y, { size, color: INK, rotate: -90 });
}

/** Up to 500 boxes, evenly taken, with their centres on one point. */
function svgOutlines({ cls, boxes }: LabelStatistics, side: number): string {
  const count = Math.min(cls.length, OUTLINES);
  const outlines = Array.from({ length: count }, (_, i) => {
    const k = Math.floor((i * cls.length) / count);
    const width = boxes[4 * k + 2]! * side;
    const height = boxes[4 * k + 3]! * side;
    const x = MARGIN.left + (side - width) / 2;
    const y = MARGIN.top + (side - height) / 2;
    return svgRect(x, y, width, height, { stroke: classColor(cls[k]!), opacity: 0.7 });
  });
  const text = cls.length > OUTLINES ? `${OUTLINES} boxes, centred` : 'boxes, centred';
  const title = svgText(text, MARGIN.left + side / 2, MARGIN.top - 10, {
    size: 17,
    color: INK,
    anchor: 'middle',
    bold: true,
  });
  return title + outlines.join('') + svgRect(MARGIN.left, MARGIN.top, side, side, { stroke: INK });
}

interface HeatMap {
  readonly title: string;
  readonly axes: readonly [x: string, y: string];
  readonly yUp: boolean;
}

/** How often two neighbouring fields of the boxes take each pair of values. */
function svgHeatMap(boxes: Float32Array, field: number, map: HeatMap, side: number): string {
  const bins = new Float64Array(BINS * BINS);
  const bin = (value: number) => Math.min(Math.max(Math.floor(value * BINS), 0), BINS - 1);
  for (let i = field; i < boxes.length; i += 4) bins[bin(boxes[i + 1]!) * BINS + bin(boxes[i]!)]!++;
  const peak = bins.reduce((a, b) => Math.max(a, b), 0) || 1;
  const axes = new Axes({
    x: MARGIN.left,
    y: MARGIN.top,
    width: side,
    height: side,
    xRange: [0, 1],
    yRange: map.yUp ? [0, 1] : [1, 0],
    title: map.title,
    xLabel: `${map.axes[0]}, share of the picture`,
    yLabel: `${map.axes[1]}, share of the picture`,
  });
  const cell = side / BINS;
  const cells = Array.from(bins, (count, i) => {
    if (count === 0) return '';
    const row = Math.floor(i / BINS) + (map.yUp ? 1 : 0);
    // the root lets rare places show
    const fill = heatColor(0.15 + 0.85 * Math.sqrt(count / peak));
    return svgRect(axes.atX((i % BINS) / BINS), axes.atY(row / BINS), cell, cell, { fill });
  });
  return axes.frame() + cells.join('');
}

function shifted(svg: string, x: number, y: number): string {
  return `<g transform="translate(${x} ${y})">${svg}</g>`;
}
