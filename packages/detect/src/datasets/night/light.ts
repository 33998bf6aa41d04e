/** Light of a scene: pools below lamps, and the glare around what shines into the camera. */
import type { Colour, Point } from './canvas.ts';

/** A lit patch of the ground, with a soft edge and nothing beyond it. */
export interface Pool {
  centre: Point;
  radii: Point;
  /** Light in its middle. */
  colour: Colour;
}

/** A glow in the air and in the lens, centred on something bright. */
export interface Halo {
  centre: Point;
  /** Where it has fallen to a quarter. */
  radius: number;
  colour: Colour;
}

/** Light that falls on things that stand at a place on the ground. */
export function lightAt(pools: readonly Pool[], moonlight: number, [x, y]: Point): Colour {
  let [r, g, b] = [moonlight, moonlight, moonlight];
  for (const { centre, radii, colour } of pools) {
    const u = (x - centre[0]) / radii[0];
    const v = (y - centre[1]) / radii[1];
    const inside = 1 - u * u - v * v;
    if (inside <= 0) continue;
    const strength = inside * inside;
    r += colour[0] * strength;
    g += colour[1] * strength;
    b += colour[2] * strength;
  }
  return [r, g, b];
}

/** The mean of a light's colours. */
export function brightness([r, g, b]: Colour): number {
  return (r + g + b) / 3;
}

/** Glare at a place of the picture. */
export function glareAt(halos: readonly Halo[], [x, y]: Point): Colour {
  let [r, g, b] = [0, 0, 0];
  for (const { centre, radius, colour } of halos) {
    const u = (x - centre[0]) / radius;
    const v = (y - centre[1]) / radius;
    const far = 1 + u * u + v * v;
    const strength = 1 / (far * far);
    r += colour[0] * strength;
    g += colour[1] * strength;
    b += colour[2] * strength;
  }
  return [r, g, b];
}

const CELLS = 64;

/** Where the pixels of a row lie on the coarse grid. */
export class Columns {
  readonly side: number;
  /** The point of the grid to the left of each pixel, and how far the pixel lies from it. */
  readonly left: Uint8Array;
  readonly weight: Float32Array;

  constructor(side: number) {
    this.side = side;
    const place = (x: number) => ((x + 0.5) / side) * CELLS;
    this.left = Uint8Array.from({ length: side }, (_, x) => Math.floor(place(x)));
    this.weight = Float32Array.from({ length: side }, (_, x) => place(x) - Math.floor(place(x)));
  }
}

/** A quantity that changes slowly over the picture: known on a coarse grid, linear between its points. */
export class SmoothField {
  private readonly values: Float32Array;
  private readonly row = new Float32Array(CELLS + 2);

  private constructor(values: Float32Array) {
    this.values = values;
  }

  /** `value` is asked for at places in units of the side. */
  static of(value: (at: Point) => number): SmoothField {
    const values = new Float32Array((CELLS + 1) * (CELLS + 1));
    eachPoint((at, index) => {
      values[index] = value(at);
    });
    return new SmoothField(values);
  }

  /** Three fields, one a colour. */
  static coloured(value: (at: Point) => Colour): [SmoothField, SmoothField, SmoothField] {
    const plane = () => new Float32Array((CELLS + 1) * (CELLS + 1));
    const planes: [Float32Array, Float32Array, Float32Array] = [plane(), plane(), plane()];
    eachPoint((at, index) => {
      const colour = value(at);
      for (const [channel, values] of planes.entries()) values[index] = colour[channel]!;
    });
    const [red, green, blue] = planes;
    return [new SmoothField(red), new SmoothField(green), new SmoothField(blue)];
  }

  /** Writes the field along row `y` of a picture with these columns. */
  fillRow(y: number, { side, left, weight }: Columns, out: Float32Array): void {
    const { values, row } = this;
    const down = ((y + 0.5) / side) * CELLS;
    const top = Math.min(CELLS - 1, Math.floor(down));
    const part = down - top;
    for (let x = 0; x <= CELLS; x++) {
      const above = values[top * (CELLS + 1) + x]!;
      row[x] = above + (values[(top + 1) * (CELLS + 1) + x]! - above) * part;
    }
    for (let x = 0; x < side; x++) {
      const cell = left[x]!;
      const value = row[cell]!;
      out[x] = value + (row[cell + 1]! - value) * weight[x]!;
    }
  }
}

function eachPoint(visit: (at: Point, index: number) => void): void {
  for (let y = 0; y <= CELLS; y++) {
    for (let x = 0; x <= CELLS; x++) visit([x / CELLS, y / CELLS], y * (CELLS + 1) + x);
  }
}
