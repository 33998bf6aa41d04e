/**
 * Piecewise linear interpolation, with `numpy.interp`'s conventions: of several points at one x the last one counts,
 * and x outside the range takes `left` or `right` (by default the end values).
 *
 * @param at positions in any order
 * @param xs rising, at least one
 */
export function interpolate(
  at: ArrayLike<number>,
  xs: ArrayLike<number>,
  ys: ArrayLike<number>,
  left = ys[0]!,
  right = ys[ys.length - 1]!,
): Float64Array {
  const last = xs.length - 1;
  const out = new Float64Array(at.length);
  for (let i = 0; i < at.length; i++) {
    const x = at[i]!;
    if (x < xs[0]!) {
      out[i] = left;
    } else if (x > xs[last]!) {
      out[i] = right;
    } else {
      const j = lastNotAbove(xs, x);
      const x0 = xs[j]!;
      const y0 = ys[j]!;
      out[i] = j === last || x === x0 ? y0 : ((ys[j + 1]! - y0) / (xs[j + 1]! - x0)) * (x - x0) + y0;
    }
  }
  return out;
}

/** The last index whose x is not above the given one; x is not below the first. */
function lastNotAbove(xs: ArrayLike<number>, x: number): number {
  let low = 0;
  let high = xs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (xs[middle]! <= x) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * `count` evenly spaced values from 0 to 1, both included, rounded as `numpy.linspace` rounds them: a recall that
 * falls on a grid point must fall on the same side of it.
 */
export function unitGrid(count: number): Float64Array {
  const step = 1 / (count - 1);
  return Float64Array.from({ length: count }, (_, i) => (i === count - 1 ? 1 : i * step));
}

/**
 * Moving average with the end values repeated beyond the ends.
 *
 * @param fraction width of the window as a part of the length; the window is made odd by going up
 */
export function boxSmooth(values: Float64Array, fraction: number): Float64Array {
  const reach = Math.round((values.length * fraction) / 2);
  const last = values.length - 1;
  return values.map((_, i) => {
    let sum = 0;
    for (let k = i - reach; k <= i + reach; k++) sum += values[Math.min(Math.max(k, 0), last)]!;
    return sum / (2 * reach + 1);
  });
}
