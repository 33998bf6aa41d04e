/** What lies behind the things of a scene: sky, house fronts, the street. */
import type { CounterRandom } from '../../augment/random.ts';
import type { Canvas, Colour, Point } from './canvas.ts';
import { lightAt, type Pool, SmoothField } from './light.ts';
import { Drawing, type Thing } from './parts.ts';

/** Height of the camera above the street, metres: what stands lower in the picture is nearer and larger. */
const CAMERA_METRES = 3;

export interface Camera {
  /** The height in the picture, from its top, at which the ground ends. */
  horizon: number;
}

/** A metre of something that stands on the ground at height `y` of the picture, as a part of the side. */
export function metreAt({ horizon }: Camera, y: number): number {
  return (y - horizon) / CAMERA_METRES;
}

const SKY_HEAT = -0.24;
const SKY: Colour = [0.004, 0.006, 0.012];
const ASPHALT: Colour = [0.15, 0.15, 0.16];
const LAWN: Colour = [0.09, 0.13, 0.06];
const LINE: Colour = [0.5, 0.5, 0.46];

/** Fills the canvas with sky and ground. */
export function paintGround(
  canvas: Canvas,
  { horizon }: Camera,
  pools: readonly Pool[],
  moonlight: number,
  random: CounterRandom,
): void {
  const { side, red, green, blue, heat } = canvas;
  const [redLight, greenLight, blueLight] = SmoothField.coloured((at) => lightAt(pools, moonlight, at));
  const patches = patchwork(random);
  const kerbs = [random.between(-0.3, 0.2), random.between(0.8, 1.3)] as const;
  const vanish = random.between(0.3, 0.7);
  const line = random.between(0.4, 0.6);
  const rows = [redLight, greenLight, blueLight, patches].map((field) => ({
    field,
    row: new Float32Array(side),
  }));
  const [r, g, b, patch] = rows.map(({ row }) => row) as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  for (let y = 0; y < side; y++) {
    for (const { field, row } of rows) field.fillRow(y, canvas.columns, row);
    const depth = ((y + 0.5) / side - horizon) / (1 - horizon);
    const dash = depth > 0 && Math.floor(3 / (depth + 0.08)) % 2 === 0;
    const [left, right] = kerbs.map((x) => vanish + (x - vanish) * depth) as [number, number];
    const middle = vanish + (line - vanish) * depth;
    const halfLine = 0.012 * depth;
    if (depth <= 0) {
      for (let x = 0; x < side; x++) {
        const at = y * side + x;
        red[at] = SKY[0];
        green[at] = SKY[1];
        blue[at] = SKY[2];
        heat[at] = SKY_HEAT + 0.04 * patch[x]!;
      }
      continue;
    }
    for (let x = 0; x < side; x++) {
      const at = y * side + x;
      const across = (x + 0.5) / side;
      const onRoad = across > left && across < right;
      const marked = onRoad && dash && across > middle - halfLine && across < middle + halfLine;
      const albedo = marked ? LINE : onRoad ? ASPHALT : LAWN;
      const grain = patch[x]!;
      const shade = 1 + 0.3 * grain;
      red[at] = albedo[0] * shade * r[x]!;
      green[at] = albedo[1] * shade * g[x]!;
      blue[at] = albedo[2] * shade * b[x]!;
      heat[at] = (onRoad ? 0.03 : -0.03) + 0.045 * grain;
    }
  }
}

/** Slow random patches, about -1 … 1. */
function patchwork(random: CounterRandom): SmoothField {
  const coarse = 12;
  const levels = Float32Array.from({ length: (coarse + 1) * (coarse + 1) }, () => random.between(-1, 1));
  const fine = 40;
  const details = Float32Array.from({ length: (fine + 1) * (fine + 1) }, () => random.between(-1, 1));
  const sample = (values: Float32Array, cells: number, [x, y]: Point) => {
    const [u, v] = [x * cells, y * cells];
    const [i, j] = [Math.min(cells - 1, Math.floor(u)), Math.min(cells - 1, Math.floor(v))];
    const value = (di: number, dj: number) => values[(j + dj) * (cells + 1) + i + di]!;
    const top = value(0, 0) + (value(1, 0) - value(0, 0)) * (u - i);
    const bottom = value(0, 1) + (value(1, 1) - value(0, 1)) * (u - i);
    return top + (bottom - top) * (v - j);
  };
  return SmoothField.of((at) => 0.7 * sample(levels, coarse, at) + 0.5 * sample(details, fine, at));
}

/** House fronts along the horizon, with lit, dark and warm windows. */
export function houses({ horizon }: Camera, random: CounterRandom): Thing[] {
  const things: Thing[] = [];
  for (let x = random.between(-0.2, 0.05); x < 1; ) {
    const width = random.between(0.16, 0.34);
    if (random.chance(0.75)) things.push(house(x, width, horizon, random));
    x += width + (random.chance(0.4) ? random.between(0.02, 0.1) : 0);
  }
  return things;
}

function house(left: number, width: number, horizon: number, random: CounterRandom): Thing {
  const height = horizon * random.between(0.5, 1.1);
  const drawing = new Drawing([left, horizon + 0.012], 1);
  const brick = random.between(0.12, 0.3);
  const wall: Colour = [brick * 1.15, brick, brick * 0.9];
  const warmth = random.between(-0.08, 0.05);
  const dim: Colour = [0.006 * brick, 0.006 * brick, 0.007 * brick];
  drawing.rectangle([0, 0], [width, height], { albedo: wall, glow: dim, heat: warmth });
  const pitch = random.between(0.045, 0.06);
  for (let x = 0.02; x < width - 0.03; x += pitch) {
    for (let y = 0.035; y < height - 0.03; y += pitch * 1.15) {
      const lit = random.chance(0.14);
      const strength = lit ? random.between(0.08, 0.5) : 0;
      drawing.rectangle([x, y], [x + 0.024, y + 0.032], {
        albedo: [0.03, 0.03, 0.04],
        glow: [strength, strength * 0.8, strength * 0.45],
        heat: warmth + (lit ? random.between(0.02, 0.14) : random.between(-0.06, 0.06)),
      });
    }
  }
  return drawing.done();
}
