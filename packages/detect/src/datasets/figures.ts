/** The figures of the generated data set, as outlines in a unit circle. */

export type Point = readonly [x: number, y: number];

/** A filled outline; the circle is given by its radius instead. */
export type Outline = { kind: 'circle' } | { kind: 'polygon'; points: Point[] };

function regular(corners: number, inner = 1): Point[] {
  const count = inner === 1 ? corners : 2 * corners;
  return Array.from({ length: count }, (_, i) => {
    const radius = i % 2 === 0 ? 1 : inner;
    const angle = (2 * Math.PI * i) / count - Math.PI / 2;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
}

const HALF = Math.SQRT1_2;
const SQUARE: Point[] = [
  [-HALF, -HALF],
  [HALF, -HALF],
  [HALF, HALF],
  [-HALF, HALF],
];

const ARM = 0.32;
const CROSS: Point[] = [
  [-ARM, -1],
  [ARM, -1],
  [ARM, -ARM],
  [1, -ARM],
  [1, ARM],
  [ARM, ARM],
  [ARM, 1],
  [-ARM, 1],
  [-ARM, ARM],
  [-1, ARM],
  [-1, -ARM],
  [-ARM, -ARM],
];

export const FIGURES = {
  circle: { kind: 'circle' },
  square: { kind: 'polygon', points: SQUARE },
  triangle: { kind: 'polygon', points: regular(3) },
  star: { kind: 'polygon', points: regular(5, 0.45) },
  cross: { kind: 'polygon', points: CROSS },
  hexagon: { kind: 'polygon', points: regular(6) },
} as const satisfies Record<string, Outline>;

export type FigureName = keyof typeof FIGURES;
export const FIGURE_NAMES = Object.keys(FIGURES) as FigureName[];

/** A figure at its place in a picture, in pixels. */
export interface PlacedFigure {
  name: FigureName;
  x: number;
  y: number;
  radius: number;
  /** Radians. */
  angle: number;
}

/** The corners of a placed polygon; none for a circle. */
export function corners({ name, x, y, radius, angle }: PlacedFigure): Point[] {
  const outline: Outline = FIGURES[name];
  if (outline.kind === 'circle') return [];
  const cos = radius * Math.cos(angle);
  const sin = radius * Math.sin(angle);
  return outline.points.map(([px, py]) => [x + px * cos - py * sin, y + px * sin + py * cos]);
}

/** The box around a placed figure: x1 y1 x2 y2. */
export function boxOf(figure: PlacedFigure): [number, number, number, number] {
  const { x, y, radius } = figure;
  const points = corners(figure);
  if (points.length === 0) return [x - radius, y - radius, x + radius, y + radius];
  const xs = points.map(([px]) => px);
  const ys = points.map(([, py]) => py);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** Whether a point lies inside a placed figure with the given corners (even-odd rule). */
export function contains(figure: PlacedFigure, points: readonly Point[], x: number, y: number): boolean {
  if (points.length === 0) return (x - figure.x) ** 2 + (y - figure.y) ** 2 <= figure.radius ** 2;
  let inside = false;
  let [x1, y1] = points[points.length - 1]!;
  for (const [x2, y2] of points) {
    if (y1 > y !== y2 > y && x < ((x1 - x2) * (y - y2)) / (y1 - y2) + x2) inside = !inside;
    [x1, y1] = [x2, y2];
  }
  return inside;
}
