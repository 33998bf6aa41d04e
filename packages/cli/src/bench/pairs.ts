import type { BenchRow } from './report.ts';
import { median, row } from './suite.ts';

const RESAMPLES = 2000;
const CONFIDENCE = 0.95;

/** Seconds of `count` runs of each side, in pairs whose order alternates: A B, B A, A B, … */
export function timePairs(count: number, a: () => void, b: () => void): { a: number[]; b: number[] } {
  const samples = { a: [] as number[], b: [] as number[] };
  const timeA = () => samples.a.push(seconds(a));
  const timeB = () => samples.b.push(seconds(b));
  for (let pair = 0; pair < count; pair++) {
    const [first, second] = pair % 2 === 0 ? [timeA, timeB] : [timeB, timeA];
    first();
    second();
  }
  return samples;
}

function seconds(body: () => void): number {
  const begun = performance.now();
  body();
  return (performance.now() - begun) / 1000;
}

/** The mean without the slowest hundredth, which is the machine's. */
export function mean(samples: readonly number[]): number {
  const kept = [...samples].sort((x, y) => x - y).slice(0, Math.ceil(samples.length * 0.99));
  return kept.reduce((sum, sample) => sum + sample, 0) / kept.length;
}

/**
 * A row of what `centre` says of the samples, with the upper bound of its ratio: the 95th percentile over pairs drawn
 * with replacement.
 */
export function pairedRow(
  name: string,
  sides: { a: string; b: string },
  samples: { a: number[]; b: number[] },
  centre: (samples: readonly number[]) => number = median,
): BenchRow {
  const ratios = Array.from({ length: RESAMPLES }, resampler(samples, centre)).sort((x, y) => x - y);
  const [a, b] = [centre(samples.a), centre(samples.b)];
  return {
    ...row(name, 's', sides, samples),
    a,
    b,
    ratio: a / b,
    upper: ratios[Math.floor(CONFIDENCE * RESAMPLES)]!,
  };
}

function resampler(
  { a, b }: { a: number[]; b: number[] },
  centre: (samples: readonly number[]) => number,
): () => number {
  let state = 1;
  // A fixed sequence (Numerical Recipes' constants): the same samples give the same bound.
  const draw = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * a.length);
  };
  return () => {
    const pairs = Array.from(a, draw);
    return centre(pairs.map((pair) => a[pair]!)) / centre(pairs.map((pair) => b[pair]!));
  };
}
