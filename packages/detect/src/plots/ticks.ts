import { formatGeneral } from './general-format.ts';

/** Round positions inside a range, about `count` of them, at steps of 1, 2 or 5 times a power of ten. */
export function niceTicks([low, high]: readonly [number, number], count: number): number[] {
  const step = niceStep((high - low) / count);
  const ticks: number[] = [];
  // positions are products, not sums, so that 0.3 stays 0.3
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) {
    ticks.push(Number((k * step).toPrecision(12)));
  }
  return ticks;
}

function niceStep(raw: number): number {
  const power = 10 ** Math.floor(Math.log10(raw));
  const factor = [1, 2, 5].find((f) => f * power >= raw * 0.999) ?? 10;
  return factor * power;
}

/** All ticks with the same number of decimals. */
export function tickLabels(ticks: readonly number[]): string[] {
  const decimals = Math.max(...ticks.map((tick) => formatGeneral(tick, 6).split(/[.e]/)[1]?.length ?? 0));
  const exponent = ticks.some((tick) => formatGeneral(tick, 6).includes('e'));
  return ticks.map((tick) => (exponent ? formatGeneral(tick, 3) : tick.toFixed(decimals)));
}

/**
 * A range that holds all finite values with some air around them; [0, 1] without any.
 *
 * @param air part of the span added on both sides
 */
export function paddedRange(values: Iterable<number>, air = 0.05): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [0, 1];
  const span = high - low || Math.abs(high) || 1;
  return [low - span * air, high + span * air];
}
