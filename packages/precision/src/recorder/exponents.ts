/**
 * How the exponents of many values are kept: one byte for the share that each bin has of all values, on a logarithmic
 * scale, so that one value in sixteen million still shows.
 */

/** Exponents that a bin spans; format limits (2^-24, 2^-14, 2^16) fall on bin edges. */
const WIDTH = 2;
const LOWEST = -32;
const HIGHEST = 32;
const INNER = (HIGHEST - LOWEST) / WIDTH;

/** Zeros, magnitudes below 2^-32, the bins between, magnitudes from 2^32 on, infinities and NaN. */
export const BINS = INNER + 4;
export const BIN_ZERO = 0;
export const BIN_BELOW = 1;
export const BIN_ABOVE = INNER + 2;
export const BIN_NOT_FINITE = INNER + 3;

const BIAS = 127;
const BIASED_EXPONENTS = 256;

/** Shares below 2^-24 of all values are shown as that. */
const SHARE_BITS = 24;

/** Exponent at which a bin begins; only inner bins have one. */
export const exponentOf = (bin: number): number => LOWEST + (bin - BIN_BELOW - 1) * WIDTH;

/** Exponent at which a bin ends. */
export const exponentEnd = (bin: number): number => exponentOf(bin) + WIDTH;

function binOf(biased: number): number {
  if (biased === 0) return BIN_ZERO;
  if (biased === BIASED_EXPONENTS - 1) return BIN_NOT_FINITE;
  const exponent = biased - BIAS;
  if (exponent < LOWEST) return BIN_BELOW;
  if (exponent >= HIGHEST) return BIN_ABOVE;
  return BIN_BELOW + 1 + Math.floor((exponent - LOWEST) / WIDTH);
}

const BIN_OF_EXPONENT = Uint8Array.from({ length: BIASED_EXPONENTS }, (_, biased) => binOf(biased));

/**
 * Packs counts by biased float32 exponent (256 of them) into `BINS` bytes: 0 for an empty bin, else 1 to 255 for
 * shares from 2^-24 to 1.
 */
export function packShares(counts: ArrayLike<number>, into: Uint8Array): void {
  const bins = new Float64Array(BINS);
  let total = 0;
  for (let biased = 0; biased < BIASED_EXPONENTS; biased++) {
    const count = counts[biased]!;
    total += count;
    bins[BIN_OF_EXPONENT[biased]!]! += count;
  }
  for (let bin = 0; bin < BINS; bin++) into[bin] = byteOfShare(total === 0 ? 0 : bins[bin]! / total);
}

function byteOfShare(share: number): number {
  if (share === 0) return 0;
  const height = 1 + Math.log2(share) / SHARE_BITS;
  return 1 + Math.round(254 * Math.max(height, 0));
}

/** The share that a byte stands for, to within 7 %. */
export const shareOfByte = (byte: number): number =>
  byte === 0 ? 0 : 2 ** (SHARE_BITS * ((byte - 1) / 254 - 1));

/**
 * The exponent just above the largest magnitudes of a packed histogram: magnitudes are below 2^top, or from 2^32 on when
 * it is 34. Infinity when there are values that are not finite, null when all are zero or there are none.
 */
export function topExponent(bins: Uint8Array): number | null {
  if (bins[BIN_NOT_FINITE] !== 0) return Number.POSITIVE_INFINITY;
  if (bins[BIN_ABOVE] !== 0) return HIGHEST + WIDTH;
  for (let bin = BIN_ABOVE - 1; bin > BIN_BELOW; bin--) if (bins[bin] !== 0) return exponentEnd(bin);
  return bins[BIN_BELOW] === 0 ? null : LOWEST;
}

/** Share of the values (zeros aside) whose magnitude is below 2^exponent, an even number; 0 for one below 2^-32. */
export function shareBelow(bins: Uint8Array, exponent: number): number {
  if (exponent < LOWEST) return 0;
  let below = 0;
  let all = 0;
  for (let bin = BIN_BELOW; bin < BINS; bin++) {
    const share = shareOfByte(bins[bin]!);
    all += share;
    if (bin === BIN_BELOW || (bin < BIN_ABOVE && exponentEnd(bin) <= exponent)) below += share;
  }
  return all === 0 ? 0 : below / all;
}
