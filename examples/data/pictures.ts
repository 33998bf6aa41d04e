import { noGrad, scope, type Tensor, tensor } from '@mezzo/torch';
import { pick, uniform } from './random.ts';

/**
 * Generated pictures: vivid patterned shapes of random place, size, angle and colour on uneven muted ground, with stray
 * strokes and noise. Colours are in 0 … 1, lengths in shares of a picture's side.
 */

export interface Pictures {
  /** [N, 3, size, size] */
  images: Tensor;
  /** The class of the last shape's pattern, int64 [N]. */
  labels: Tensor;
  /** 1 where a pixel belongs to a shape, int64 [N, size, size]. */
  masks: Tensor;
}

export interface PictureOptions {
  count: number;
  /** Side in pixels. */
  size: number;
  /** Shapes in a picture; default 1. */
  shapes?: number;
  /** Radius of a shape, from and to; default 0.5 to 0.8. */
  radius?: readonly [number, number];
  device?: string;
}

/** How far a point lies outside a shape of radius 1 around the origin; negative inside. */
type Shape = (x: number, y: number) => number;

const bar: Shape = (x, y) => Math.max(Math.abs(x) - 1, Math.abs(y) - 0.45);
const SHAPES: readonly Shape[] = [
  (x, y) => Math.hypot(x, y) - 1,
  (x, y) => Math.max(Math.abs(x), Math.abs(y)) - 0.85,
  (x, y) => Math.max(y - 0.6, 0.87 * Math.abs(x) - 0.5 * y - 0.6),
  (x, y) => Math.min(bar(x, y), bar(y, x)),
];

/** Above 0 in a shape's first colour, below in its second; one wave is 2π long. */
type Pattern = (x: number, y: number) => number;

/** Plain, four ways of stripes, chequered, ringed: what a label counts. */
const PATTERNS: readonly Pattern[] = [
  () => 1,
  (x) => Math.sin(x),
  (_, y) => Math.sin(y),
  (x, y) => Math.sin((x + y) / Math.SQRT2),
  (x, y) => Math.sin((x - y) / Math.SQRT2),
  (x, y) => Math.sin(x) * Math.sin(y),
  (x, y) => Math.sin(Math.hypot(x, y)),
];
export const CLASSES = PATTERNS.length;

const NOISE = 0.05;
const STROKES = 3;
/** Length of a wave of a pattern. */
const WAVE = [0.16, 0.22] as const;

interface Mark {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly cos: number;
  readonly sin: number;
  readonly shape: Shape;
  readonly pattern: Pattern;
  /** Waves of the pattern per picture, times 2π. */
  readonly pace: number;
  readonly colours: readonly [readonly number[], readonly number[]];
}

/** A source of new pictures without end, the same for the same seed. */
export function pictureSource(seed: number): (options: PictureOptions) => Pictures {
  const random = uniform(seed);
  return (options) => drawPictures(random, options);
}

/** Held-out pictures are scored so many at a time. */
const CHUNK = 32;

/** What is counted in every chunk of pictures, summed. `found` is the class of the highest score. */
function count(
  { images }: Pictures,
  score: Score,
  of: (found: Tensor, from: number, length: number) => Tensor[],
) {
  const sums: number[] = [];
  for (let from = 0; from < images.shape[0]!; from += CHUNK) {
    scope(() => {
      const length = Math.min(CHUNK, images.shape[0]! - from);
      const found = noGrad(() => score(images.narrow(0, from, length))).argmax(1);
      for (const [i, part] of of(found, from, length).entries()) {
        sums[i] = (sums[i] ?? 0) + Number(part.sum().item());
      }
    });
  }
  return sums;
}

type Score = (images: Tensor) => Tensor;

/** Share of pictures whose highest score is the label's; scores are [N, classes]. */
export function accuracyOn(pictures: Pictures, score: Score): number {
  const { labels } = pictures;
  const [right] = count(pictures, score, (found, from, length) => [found.eq(labels.narrow(0, from, length))]);
  return right! / labels.numel();
}

/** Pixels that are both found and in a mask, as a share of those that are either; scores are [N, 2, size, size]. */
export function iouOn(pictures: Pictures, score: Score): number {
  const [both, either] = count(pictures, score, (found, from, length) => {
    const mask = pictures.masks.narrow(0, from, length);
    return [found.mul(mask), found.maximum(mask)];
  });
  return both! / either!;
}

function drawPictures(random: () => number, options: PictureOptions): Pictures {
  const { count, size, shapes = 1, radius: [least, most] = [0.5, 0.8], device = 'cpu' } = options;
  const between = (low: number, high: number) => low + (high - low) * random();
  const muted = () => [between(0.35, 0.65), between(0.35, 0.65), between(0.35, 0.65)];
  const vivid = () => muted().map((value) => (random() < 0.5 ? value - 0.35 : value + 0.35));
  const images = new Float32Array(count * 3 * size * size);
  const labels = new BigInt64Array(count);
  const masks = new BigInt64Array(count * size * size);

  for (let n = 0; n < count; n++) {
    const [ground, far] = [muted(), muted()];
    const tilt = between(0, 2 * Math.PI);
    const [across, down] = [Math.cos(tilt) / 1.5, Math.sin(tilt) / 1.5];
    const mark = (shape: Shape, pattern: Pattern, radius: number): Mark => {
      const angle = between(0, 2 * Math.PI);
      const first = vivid();
      return {
        x: between(radius, 1 - radius),
        y: between(radius, 1 - radius),
        radius,
        cos: Math.cos(angle),
        sin: Math.sin(angle),
        shape,
        pattern,
        pace: (2 * Math.PI) / between(...WAVE),
        colours: [first, first.map((value) => 1 - value)],
      };
    };
    const strokes = Array.from({ length: STROKES }, () => mark(stroke, PATTERNS[0]!, 0.25));
    const drawn = Array.from({ length: shapes }, () => {
      labels[n] = BigInt(Math.floor(random() * CLASSES));
      return mark(pick(random, SHAPES), PATTERNS[Number(labels[n])]!, between(least, most));
    });
    for (let at = 0; at < size * size; at++) {
      const x = ((at % size) + 0.5) / size;
      const y = (Math.floor(at / size) + 0.5) / size;
      const shape = drawn.findLast((mark) => covers(mark, x, y));
      if (shape !== undefined) masks[n * size * size + at] = 1n;
      const paint = colourAt(shape ?? strokes.find((mark) => covers(mark, x, y)), x, y);
      const way = 0.5 + (x - 0.5) * across + (y - 0.5) * down;
      for (let channel = 0; channel < 3; channel++) {
        const value = paint?.[channel] ?? ground[channel]! + way * (far[channel]! - ground[channel]!);
        // Two uniform numbers make a bell that is close enough.
        images[(n * 3 + channel) * size * size + at] = value + NOISE * 2.4 * (random() + random() - 1);
      }
    }
  }
  return {
    images: tensor(images, { shape: [count, 3, size, size], device }),
    labels: tensor(labels, { device }),
    masks: tensor(masks, { shape: [count, size, size], device }),
  };
}

const stroke: Shape = (_, y) => Math.abs(y) - 0.08;

function covers({ shape, x: cx, y: cy, radius, cos, sin }: Mark, x: number, y: number): boolean {
  const dx = (x - cx) / radius;
  const dy = (y - cy) / radius;
  return dx * dx + dy * dy < 2 && shape(dx * cos + dy * sin, dy * cos - dx * sin) <= 0;
}

/** Patterns lie straight in the picture: the way of the stripes is what tells some of them apart. */
function colourAt(mark: Mark | undefined, x: number, y: number): readonly number[] | undefined {
  if (mark === undefined) return undefined;
  const { pattern, pace, colours } = mark;
  return colours[pattern((x - mark.x) * pace, (y - mark.y) * pace) > 0 ? 0 : 1];
}
