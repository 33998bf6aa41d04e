import { classColor, readableOn } from './palette.ts';
import { px } from './svg.ts';
import { capHeight, fitText, svgText, textWidth } from './text.ts';

/** A box to be drawn, in pixels. */
export interface DrawnBox {
  readonly xyxy: readonly [x1: number, y1: number, x2: number, y2: number];
  readonly cls: number;
  /** No label when absent. */
  readonly label?: string;
}

export interface DrawOptions {
  /** Pixels; chosen from the size of the image unless given. */
  readonly lineWidth?: number;
  /** Pixels; chosen from the size of the image and the line width unless given. */
  readonly fontSize?: number;
}

/** Boxes and labels as SVG elements, for an area of the given size in pixels. */
export function svgBoxes(
  boxes: readonly DrawnBox[],
  area: { width: number; height: number },
  options: DrawOptions = {},
): string {
  const line = options.lineWidth ?? Math.max(2, Math.round((area.width + area.height) / 600));
  const size =
    options.fontSize ??
    Math.max(12, Math.round((area.width + area.height) / 100), 4 * (options.lineWidth ?? 0));
  const frames = boxes.map(({ xyxy: [x1, y1, x2, y2], cls }) => {
    // the line stays inside the image where the box ends at its edge
    const left = Math.min(Math.max(x1, line / 2), area.width - line / 2);
    const top = Math.min(Math.max(y1, line / 2), area.height - line / 2);
    const right = Math.max(left, Math.min(x2, area.width - line / 2));
    const bottom = Math.max(top, Math.min(y2, area.height - line / 2));
    return (
      `<rect x="${px(left)}" y="${px(top)}" width="${px(right - left)}" height="${px(bottom - top)}" ` +
      `fill="none" stroke="${classColor(cls)}" stroke-width="${line}" stroke-linejoin="round"/>`
    );
  });
  const labels = boxes.map((box) => svgLabel(box, area, line, size));
  return [...frames.reverse(), ...labels.reverse()].join('');
}

/** A filled tag on the upper edge of the box, moved inside the area where it would leave it. */
function svgLabel(
  { xyxy: [x1, y1], cls, label }: DrawnBox,
  area: { width: number; height: number },
  line: number,
  size: number,
): string {
  const padding = size * 0.3;
  const text = label === undefined ? '' : fitText(label, size, area.width - 2 * padding);
  if (text === '') return '';
  const color = classColor(cls);
  const width = textWidth(text, size) + 2 * padding;
  const height = size * 1.25;
  const left = Math.max(0, Math.min(x1 - line / 2, area.width - width));
  const above = y1 - line / 2 - height;
  const top = Math.max(0, Math.min(above >= 0 ? above : y1 - line / 2, area.height - height));
  const baseline = top + (height + capHeight(size)) / 2;
  return (
    `<rect x="${px(left)}" y="${px(top)}" width="${px(width)}" height="${px(height)}" rx="${px(size * 0.15)}" fill="${color}"/>` +
    svgText(text, left + padding, baseline, { size, color: readableOn(color) })
  );
}
