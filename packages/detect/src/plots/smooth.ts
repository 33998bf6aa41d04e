/**
 * Convolution with a Gaussian, cut off at four standard deviations; the data are mirrored at both ends (the end value
 * counted twice), so that a constant stays constant.
 *
 * @param sigma standard deviation in samples
 */
export function gaussianSmooth(values: ArrayLike<number>, sigma: number): Float64Array {
  const reach = Math.round(4 * sigma);
  const weights = Float64Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-0.5 * ((i - reach) / sigma) ** 2),
  );
  const total = weights.reduce((sum, w) => sum + w, 0);
  return Float64Array.from({ length: values.length }, (_, i) => {
    let sum = 0;
    for (let k = -reach; k <= reach; k++)
      sum += weights[k + reach]! * values[mirrored(i + k, values.length)]!;
    return sum / total;
  });
}

/** Index reflected into 0 … length - 1, as often as needed: … 1 0 | 0 1 2 | 2 1 … */
function mirrored(index: number, length: number): number {
  const period = 2 * length;
  const k = ((index % period) + period) % period;
  return k < length ? k : period - 1 - k;
}
