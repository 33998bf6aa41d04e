/**
 * The two pictures of a scene while it is painted: light in three colours, and heat.
 *
 * Everything below `night/` uses only operations that IEEE 754 rounds exactly (+ - * / and the square root), so a
 * scene is the same, bit for bit, on every machine.
 */

import { Columns } from './light.ts';

export type Point = readonly [x: number, y: number];
export type Colour = readonly [r: number, g: number, b: number];

/** Outlines in units of the picture's side, y downwards; polygons are convex. */
export type Shape =
  | { kind: 'capsule'; from: Point; to: Point; radius: number }
  | { kind: 'ellipse'; centre: Point; radii: Point }
  | { kind: 'polygon'; points: readonly Point[] };

/** x1 y1 x2 y2, in units of the side. */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number];

/** What a shape does to the pictures below it. */
export interface Paint {
  light: Colour;
  /** How much of what lies behind the visible picture loses: 1 is opaque. */
  opacity: number;
  /** Warmer (above 0) or colder than the street, as a part of infrared's scale. */
  heat: number;
  heatOpacity: number;
}

// How much darker a rounded body is at its rim.
const ROUNDNESS = 0.4;

export class Canvas {
  readonly side: number;
  readonly columns: Columns;
  readonly red: Float32Array;
  readonly green: Float32Array;
  readonly blue: Float32Array;
  readonly heat: Float32Array;
  /** Working memory of the infrared camera. */
  readonly spare: Float32Array;
  readonly soft: Float32Array;

  constructor(side: number) {
    this.side = side;
    this.columns = new Columns(side);
    const plane = () => new Float32Array(side * side);
    this.red = plane();
    this.green = plane();
    this.blue = plane();
    this.heat = plane();
    this.spare = plane();
    this.soft = plane();
  }

  /** Paints a shape in front of all that is there. */
  paint(shape: Shape, paint: Paint): void {
    const { side, red, green, blue, heat } = this;
    const cover = coverage(shape, side);
    const [r, g, b] = paint.light;
    const [x1, y1, x2, y2] = pixelBounds(boundsOf(shape), side);
    for (let y = y1; y < y2; y++) {
      for (let x = x1; x < x2; x++) {
        const part = cover(x + 0.5, y + 0.5);
        if (part <= 0) continue;
        const at = y * side + x;
        const visible = part * paint.opacity;
        const shade = 1 - ROUNDNESS * cover.rim;
        red[at] = red[at]! + (r * shade - red[at]!) * visible;
        green[at] = green[at]! + (g * shade - green[at]!) * visible;
        blue[at] = blue[at]! + (b * shade - blue[at]!) * visible;
        heat[at] = heat[at]! + (paint.heat - heat[at]!) * part * paint.heatOpacity;
      }
    }
  }
}

export function boundsOf(shape: Shape): Box {
  if (shape.kind === 'polygon') {
    const xs = shape.points.map(([x]) => x);
    const ys = shape.points.map(([, y]) => y);
    return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  }
  if (shape.kind === 'ellipse') {
    const [[x, y], [rx, ry]] = [shape.centre, shape.radii];
    return [x - rx, y - ry, x + rx, y + ry];
  }
  const { from, to, radius } = shape;
  return [
    Math.min(from[0], to[0]) - radius,
    Math.min(from[1], to[1]) - radius,
    Math.max(from[0], to[0]) + radius,
    Math.max(from[1], to[1]) + radius,
  ];
}

/** The box around boxes. */
export function around(boxes: readonly Box[]): Box {
  return [
    Math.min(...boxes.map(([x1]) => x1)),
    Math.min(...boxes.map(([, y1]) => y1)),
    Math.max(...boxes.map(([, , x2]) => x2)),
    Math.max(...boxes.map(([, , , y2]) => y2)),
  ];
}

function pixelBounds([x1, y1, x2, y2]: Box, side: number): [number, number, number, number] {
  const inside = (v: number) => Math.min(side, Math.max(0, v));
  return [
    inside(Math.floor(x1 * side - 0.5)),
    inside(Math.floor(y1 * side - 0.5)),
    inside(Math.ceil(x2 * side + 0.5)),
    inside(Math.ceil(y2 * side + 0.5)),
  ];
}

/** How much of a pixel (given by its centre) a shape covers, 0 … 1; `rim` tells how near to its edge that was. */
interface Coverage {
  (x: number, y: number): number;
  /** 0 in the middle of a rounded shape, 1 at its edge; 0 everywhere in a polygon. */
  rim: number;
}

function coverage(shape: Shape, side: number): Coverage {
  if (shape.kind === 'polygon') return polygonCoverage(shape.points, side);
  if (shape.kind === 'ellipse') return ellipseCoverage(shape.centre, shape.radii, side);
  const { from, to, radius } = shape;
  const [x1, y1] = [from[0] * side, from[1] * side];
  const [dx, dy] = [to[0] * side - x1, to[1] * side - y1];
  const squared = dx * dx + dy * dy;
  const r = radius * side;
  const cover: Coverage = (x, y) => {
    const along = squared > 0 ? Math.min(1, Math.max(0, ((x - x1) * dx + (y - y1) * dy) / squared)) : 0;
    const ox = x - x1 - along * dx;
    const oy = y - y1 - along * dy;
    const distance = Math.sqrt(ox * ox + oy * oy);
    cover.rim = Math.min(1, (distance * distance) / (r * r));
    return Math.min(1, r - distance + 0.5);
  };
  cover.rim = 0;
  return cover;
}

function ellipseCoverage(centre: Point, radii: Point, side: number): Coverage {
  const [cx, cy] = [centre[0] * side, centre[1] * side];
  const [rx, ry] = [radii[0] * side, radii[1] * side];
  const least = Math.min(rx, ry);
  const cover: Coverage = (x, y) => {
    const u = (x - cx) / rx;
    const v = (y - cy) / ry;
    const squared = u * u + v * v;
    cover.rim = Math.min(1, squared);
    return Math.min(1, (1 - Math.sqrt(squared)) * least + 0.5);
  };
  cover.rim = 0;
  return cover;
}

/** By the least distance to the lines through its sides; corners may turn either way round. */
function polygonCoverage(points: readonly Point[], side: number): Coverage {
  let area = 0;
  for (const [i, [x, y]] of points.entries()) {
    const [nx, ny] = points[(i + 1) % points.length]!;
    area += x * ny - nx * y;
  }
  const turn = area < 0 ? -1 : 1;
  const lines = points.map(([x, y], i) => {
    const [nx, ny] = points[(i + 1) % points.length]!;
    const [dx, dy] = [nx - x, ny - y];
    const length = Math.sqrt(dx * dx + dy * dy);
    const [a, b] = [(-dy * turn) / length, (dx * turn) / length];
    return { a, b, c: -(a * x + b * y) * side };
  });
  const cover: Coverage = (x, y) => {
    let least = 0.5;
    for (const { a, b, c } of lines) least = Math.min(least, a * x + b * y + c);
    return least + 0.5;
  };
  cover.rim = 0;
  return cover;
}
