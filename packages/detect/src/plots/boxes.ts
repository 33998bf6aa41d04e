import { labelPlaces, type Place } from './label-places.ts';
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
  /**
   * What becomes of a label that finds no place where it covers nothing: `overlap` draws it on its box all the same,
   * `omit` leaves it out, unless it is the first of its class. `overlap` unless given.
   */
  readonly crowded?: 'overlap' | 'omit';
}

interface Area {
  readonly width: number;
  readonly height: number;
}

/** Boxes and labels as SVG elements, for an area of the given size in pixels. */
export function svgBoxes(boxes: readonly DrawnBox[], area: Area, options: DrawOptions = {}): string {
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
  const labels = svgLabels(boxes, area, { line, size, omit: options.crowded === 'omit' });
  return [...frames.reverse(), ...labels.reverse()].join('');
}

/** A filled tag at each box; the first box finds its place first. */
function svgLabels(
  boxes: readonly DrawnBox[],
  area: Area,
  { line, size, omit }: { line: number; size: number; omit: boolean },
): string[] {
  const padding = size * 0.3;
  const texts = boxes.map(({ label = '' }) => fitText(label, size, area.width - 2 * padding));
  const height = size * 1.25;
  const sizes = texts.map((text) =>
    text === '' ? null : { width: textWidth(text, size) + 2 * padding, height },
  );
  const places = labelPlaces(boxes, sizes, area);
  const named = new Set<number>();
  return boxes.map(({ xyxy, cls }, i) => {
    const own = sizes[i];
    const needed = !omit || !named.has(cls);
    const place = places[i] ?? (own && needed ? onBox(xyxy, own, area, line) : null);
    if (place === null || place === undefined) return '';
    named.add(cls);
    const color = classColor(cls);
    const baseline = place.y + (height + capHeight(size)) / 2;
    return (
      `<rect x="${px(place.x)}" y="${px(place.y)}" width="${px(place.width)}" height="${px(height)}" ` +
      `rx="${px(size * 0.15)}" fill="${color}"/>` +
      svgText(texts[i]!, place.x + padding, baseline, { size, color: readableOn(color) })
    );
  });
}

/** On the upper edge of the box, moved inside the area where it would leave it. */
function onBox(
  [x1, y1]: DrawnBox['xyxy'],
  { width, height }: Pick<Place, 'width' | 'height'>,
  area: Area,
  line: number,
): Place {
  const above = y1 - line / 2 - height;
  return {
    x: Math.max(0, Math.min(x1 - line / 2, area.width - width)),
    y: Math.max(0, Math.min(above >= 0 ? above : y1 - line / 2, area.height - height)),
    width,
    height,
  };
}
