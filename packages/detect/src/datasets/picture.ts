/** One generated picture: a cluttered background with figures on it, and their labels. */
import { CounterRandom } from '../augment/random.ts';
import { boxOf, contains, corners, type FigureName, type PlacedFigure } from './figures.ts';

type Colour = readonly [r: number, g: number, b: number];

export interface Picture {
  /** RGB, interleaved. */
  pixels: Uint8Array;
  /** Rows `class cx cy w h`, normalised. */
  labels: [number, number, number, number, number][];
}

const MOST_FIGURES = 4;
/** Radius as a part of the side. */
const SMALLEST = 0.11;
const LARGEST = 0.28;
/** Largest turn, radians. */
const TURN = 0.4;
/** How far a class strays from its hue, in turns of the colour circle. */
const HUE_SPREAD = 0.14;
/** How much of the smaller of two boxes may lie in the other. */
const OVERLAP = 0.35;
const TRIES = 20;
const SUBPIXELS = [0.25, 0.75];

/**
 * Draws picture `sample` of a split; the same arguments give the same pixels.
 * @param imgsz side of the picture, pixels
 * @param split 0 for training, 1 for validation: pictures of two splits have nothing in common
 */
export function drawPicture(
  classes: readonly FigureName[],
  imgsz: number,
  seed: number,
  split: number,
  sample: number,
): Picture {
  const random = new CounterRandom(seed, 'shapes', split, sample);
  const ground: Colour = [random.between(40, 215), random.between(40, 215), random.between(40, 215)];
  const pixels = background(ground, imgsz, random);
  const figures: PlacedFigure[] = [];
  const labels: Picture['labels'] = [];
  const count = 1 + random.integer(MOST_FIGURES);
  for (let i = 0; i < count; i++) {
    const id = random.integer(classes.length);
    const figure = place(classes[id]!, imgsz, figures, random);
    if (!figure) continue;
    figures.push(figure);
    paint(pixels, imgsz, figure, figureColour(id / classes.length, ground, random), random);
    const [x1, y1, x2, y2] = boxOf(figure);
    labels.push([id, (x1 + x2) / 2 / imgsz, (y1 + y2) / 2 / imgsz, (x2 - x1) / imgsz, (y2 - y1) / imgsz]);
  }
  return { pixels, labels };
}

/** Waves of a few lengths and grain, so that edges and colours alone do not give a figure away. */
function background(ground: Colour, imgsz: number, random: CounterRandom): Uint8Array {
  const waves = Array.from({ length: 4 }, () => ({
    fx: (random.between(-6, 6) * 2 * Math.PI) / imgsz,
    fy: (random.between(-6, 6) * 2 * Math.PI) / imgsz,
    phase: random.between(0, 2 * Math.PI),
    strength: [random.between(-10, 10), random.between(-10, 10), random.between(-10, 10)] as const,
  }));
  const grain = random.between(3, 10);
  const pixels = new Uint8Array(imgsz * imgsz * 3);
  for (let y = 0; y < imgsz; y++) {
    for (let x = 0; x < imgsz; x++) {
      let [r, g, b] = ground;
      for (const { fx, fy, phase, strength } of waves) {
        const height = Math.sin(fx * x + fy * y + phase);
        r += height * strength[0];
        g += height * strength[1];
        b += height * strength[2];
      }
      const noise = random.between(-grain, grain);
      const at = (y * imgsz + x) * 3;
      pixels[at] = level(r + noise);
      pixels[at + 1] = level(g + noise);
      pixels[at + 2] = level(b + noise);
    }
  }
  return pixels;
}

/** A figure inside the picture that hides little of the earlier ones; null when no place was found. */
function place(
  name: FigureName,
  imgsz: number,
  earlier: readonly PlacedFigure[],
  random: CounterRandom,
): PlacedFigure | null {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const radius = imgsz * SMALLEST * (LARGEST / SMALLEST) ** random.uniform();
    const figure: PlacedFigure = {
      name,
      x: random.between(radius, imgsz - radius),
      y: random.between(radius, imgsz - radius),
      radius,
      angle: random.between(-TURN, TURN),
    };
    if (earlier.every((other) => overlap(boxOf(figure), boxOf(other)) <= OVERLAP)) return figure;
  }
  return null;
}

function overlap(a: readonly number[], b: readonly number[]): number {
  const width = Math.min(a[2]!, b[2]!) - Math.max(a[0]!, b[0]!);
  const height = Math.min(a[3]!, b[3]!) - Math.max(a[1]!, b[1]!);
  if (width <= 0 || height <= 0) return 0;
  const area = (box: readonly number[]) => (box[2]! - box[0]!) * (box[3]! - box[1]!);
  return (width * height) / Math.min(area(a), area(b));
}

/** A colour near the hue of a class that stands out from the ground. */
function figureColour(hue: number, ground: Colour, random: CounterRandom): Colour {
  for (;;) {
    const turn = hue + random.between(-HUE_SPREAD, HUE_SPREAD);
    const value = random.between(120, 250);
    const saturation = random.between(0.45, 1);
    const channel = (offset: number) => {
      const k = (offset + 6 * (turn + 1)) % 6;
      return value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1)));
    };
    const colour: Colour = [channel(5), channel(3), channel(1)];
    if (Math.hypot(colour[0] - ground[0], colour[1] - ground[1], colour[2] - ground[2]) > 110) return colour;
  }
}

/** Fills a figure with a shaded colour; edge pixels mix with what lies below. */
function paint(
  pixels: Uint8Array,
  imgsz: number,
  figure: PlacedFigure,
  colour: Colour,
  random: CounterRandom,
): void {
  const points = corners(figure);
  const [x1, y1, x2, y2] = boxOf(figure);
  const [slopeX, slopeY] = [random.between(-25, 25), random.between(-25, 25)];
  for (let y = Math.floor(y1); y < Math.min(Math.ceil(y2), imgsz); y++) {
    for (let x = Math.floor(x1); x < Math.min(Math.ceil(x2), imgsz); x++) {
      let cover = 0;
      for (const dy of SUBPIXELS) {
        for (const dx of SUBPIXELS) cover += contains(figure, points, x + dx, y + dy) ? 0.25 : 0;
      }
      if (cover === 0) continue;
      const shade =
        (slopeX * (x - figure.x) + slopeY * (y - figure.y)) / figure.radius + random.between(-6, 6);
      const at = (y * imgsz + x) * 3;
      for (let c = 0; c < 3; c++) {
        pixels[at + c] = level(pixels[at + c]! * (1 - cover) + (colour[c]! + shade) * cover);
      }
    }
  }
}

function level(x: number): number {
  return Math.min(255, Math.max(0, Math.round(x)));
}
