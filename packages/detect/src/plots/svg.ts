import sharp from 'sharp';

/** An SVG document with a white background. */
export function svgDocument(width: number, height: number, body: string): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
    `<rect width="${width}" height="${height}" fill="#ffffff"/>${body}</svg>`
  );
}

/** Writes an SVG document as a PNG or JPEG file, by the suffix of `file`. */
export async function writeSvg(svg: string, file: string): Promise<void> {
  await sharp(Buffer.from(svg))
    .flatten({ background: '#ffffff' })
    .jpeg({ quality: 92, force: false })
    .toFile(file);
}

export interface RectStyle {
  readonly fill?: string;
  readonly stroke?: string;
  readonly strokeWidth?: number;
  readonly opacity?: number;
}

export function svgRect(x: number, y: number, width: number, height: number, style: RectStyle): string {
  const { fill = 'none', stroke = 'none', strokeWidth = 1, opacity = 1 } = style;
  return (
    `<rect x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}" fill="${fill}"` +
    `${stroke === 'none' ? '' : ` stroke="${stroke}" stroke-width="${strokeWidth}"`}` +
    `${opacity === 1 ? '' : ` opacity="${opacity}"`}/>`
  );
}

/** A vertical gradient of evenly spaced colours, for `fill: 'url(#id)'`. */
export function svgGradient(id: string, colors: readonly string[]): string {
  const stops = colors.map((color, i) => {
    const offset = px(i / Math.max(colors.length - 1, 1));
    return `<stop offset="${offset}" stop-color="${color}"/>`;
  });
  return `<linearGradient id="${id}" x1="0" y1="0" x2="0" y2="1">${stops.join('')}</linearGradient>`;
}

export interface LineStyle {
  readonly color: string;
  readonly width: number;
  /** SVG dash pattern. */
  readonly dash?: string;
  readonly opacity?: number;
}

/** A line through points; it is broken where a coordinate is not finite. */
export function svgPolyline(points: Iterable<readonly [x: number, y: number]>, style: LineStyle): string {
  let path = '';
  let drawing = false;
  for (const [x, y] of points) {
    const finite = Number.isFinite(x) && Number.isFinite(y);
    if (finite) path += `${drawing ? 'L' : 'M'}${px(x)},${px(y)}`;
    drawing = finite;
  }
  if (path === '') return '';
  return (
    `<path d="${path}" fill="none" stroke="${style.color}" stroke-width="${style.width}" stroke-linejoin="round"` +
    `${style.dash === undefined ? '' : ` stroke-dasharray="${style.dash}"`}` +
    `${style.opacity === undefined ? '' : ` opacity="${style.opacity}"`}/>`
  );
}

/** Pixels with at most two decimals. */
export function px(value: number): number {
  return Math.round(value * 100) / 100;
}
