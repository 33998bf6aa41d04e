import { CounterRandom } from '../augment/random.ts';
import { alike } from './anchor-cells.ts';

/** Width and height in pixels. */
export type Sides = readonly [width: number, height: number];

export interface AnchorSearch {
  /** Anchor boxes to find. */
  count: number;
  /** Largest factor between the sides of a box and of an anchor that learns it. */
  limit: number;
  seed: number;
  /** Default 1000. */
  generations?: number;
}

const ITERATIONS = 30;
const GENERATIONS = 1000;
/** More boxes than this say the same more slowly: every k-th of them is looked at. */
const MOST_BOXES = 20_000;
/** Probability that a side changes in a generation, spread of the factor, and its range. */
const MUTATION = { probability: 0.9, spread: 0.1, least: 0.3, most: 3 };
/** Smallest side of an anchor. */
const LEAST_SIDE = 2;

/** Best possible recall: the share of boxes that at least one anchor may learn. 1 without boxes. */
export function possibleRecall(boxes: readonly Sides[], anchors: readonly Sides[], limit: number): number {
  const learned = boxes.filter(([width, height]) =>
    anchors.some(([w, h]) => alike(width / w, height / h, limit)),
  );
  return boxes.length === 0 ? 1 : learned.length / boxes.length;
}

/**
 * Anchor boxes for a set of boxes: k-means of the sides in units of their spread, then a search by mutation for the
 * best mean fit of the boxes that an anchor may learn. Equal for equal seeds; smallest area first.
 * @returns null when there are fewer different boxes than anchors
 */
export function findAnchors(boxes: readonly Sides[], search: AnchorSearch): Sides[] | null {
  const random = new CounterRandom(search.seed, 'anchors', 0, 0);
  const step = Math.ceil(boxes.length / MOST_BOXES);
  const sample = boxes.filter((_, i) => i % step === 0);
  const means = kMeans(sample, search.count, random);
  if (means === null) return null;
  return evolve(sample, means, search, random).sort((a, b) => a[0] * a[1] - b[0] * b[1]);
}

function kMeans(boxes: readonly Sides[], count: number, random: CounterRandom): Sides[] | null {
  const spread: Sides = [
    deviation(boxes.map(([width]) => width)),
    deviation(boxes.map(([, height]) => height)),
  ];
  const points = boxes.map(([width, height]): Sides => [width / spread[0], height / spread[1]]);
  const different = [...new Map(points.map((point) => [point.join(), point])).values()];
  if (different.length < count) return null;
  let means = Array.from({ length: count }, () => different.splice(random.integer(different.length), 1)[0]!);
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const sums = means.map(() => [0, 0, 0]);
    for (const point of points) {
      const sum = sums[nearest(point, means)]!;
      sum[0]! += point[0];
      sum[1]! += point[1];
      sum[2]! += 1;
    }
    means = sums.map(
      ([width, height, boxesHere], i): Sides =>
        boxesHere === 0 ? means[i]! : [width! / boxesHere!, height! / boxesHere!],
    );
  }
  return means.map(([width, height]): Sides => [width * spread[0], height * spread[1]]);
}

function nearest(point: Sides, means: readonly Sides[]): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  means.forEach(([width, height], i) => {
    const distance = (point[0] - width) ** 2 + (point[1] - height) ** 2;
    if (distance < least) [least, best] = [distance, i];
  });
  return best;
}

/** Standard deviation, 1 where all values are equal. */
function deviation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return Math.sqrt(variance) || 1;
}

/** Keeps each random change of all sides that fits the boxes better. */
function evolve(
  boxes: readonly Sides[],
  start: readonly Sides[],
  { limit, generations = GENERATIONS }: AnchorSearch,
  random: CounterRandom,
): Sides[] {
  let best = start.map(([width, height]): Sides => [width, height]);
  let fitness = meanFit(boxes, best, limit);
  for (let generation = 0; generation < generations; generation++) {
    const reach = random.uniform() * MUTATION.spread;
    const mutate = (side: number): number => {
      const change = random.chance(MUTATION.probability) ? reach * random.normal() : 0;
      const factor = Math.min(Math.max(1 + change, MUTATION.least), MUTATION.most);
      return Math.max(side * factor, LEAST_SIDE);
    };
    const candidate = best.map(([width, height]): Sides => [mutate(width), mutate(height)]);
    const reached = meanFit(boxes, candidate, limit);
    if (reached > fitness) [best, fitness] = [candidate, reached];
  }
  return best;
}

/** Mean over the boxes of the best anchor's fit, its worst ratio of sides in 0 … 1; 0 where none may learn the box. */
function meanFit(boxes: readonly Sides[], anchors: readonly Sides[], limit: number): number {
  let total = 0;
  for (const [width, height] of boxes) {
    let best = 0;
    for (const [w, h] of anchors) {
      const fit = Math.min(width / w, w / width, height / h, h / height);
      if (fit > best) best = fit;
    }
    if (best > 1 / limit) total += best;
  }
  return total / boxes.length;
}
