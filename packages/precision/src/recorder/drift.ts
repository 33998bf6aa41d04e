import { shareBelow, topExponent } from './exponents.ts';
import { KINDS, type Kind, type Recording } from './recording.ts';

/** Where a format begins to lose numbers: magnitudes from 2^top on overflow, below 2^bottom they vanish. */
export interface FormatLimits {
  readonly top: number;
  readonly normal: number;
  readonly bottom: number;
}

/** Exponents of the formats, even ones: 65504 is just below 2^16; bf16 has float32's range. */
const LIMITS = {
  float16: { top: 16, normal: -14, bottom: -24 },
  bfloat16: { top: 128, normal: -126, bottom: -132 },
  float32: { top: 128, normal: -126, bottom: -148 },
} as const satisfies Record<string, FormatLimits>;

export const limitsOf = (dtype: string): FormatLimits =>
  (LIMITS as Readonly<Record<string, FormatLimits>>)[dtype] ?? LIMITS.float32;

/** How one kind of a layer's values moved over the run. */
export interface Drift {
  readonly layer: string;
  /** The part of the model that the layer belongs to; null where parts have no names. */
  readonly part: string | null;
  readonly kind: Kind;
  /** Exponent just above the largest magnitude, in the first and in the last sample; null: all zero. */
  readonly first: number | null;
  readonly last: number | null;
  /** Powers of two between the last sample and the format's end. */
  readonly headroom: number;
  /** Powers of two that the largest magnitude gains in 1,000 steps, by a straight line through all samples. */
  readonly slope: number;
  /** Steps until the format's end if it goes on like this; null when it does not. */
  readonly stepsLeft: number | null;
  /** Share of the last sample's values (zeros aside) too small for the format. */
  readonly vanished: number;
}

/** The drift of every layer and kind, those nearest to the format's end first. */
export function driftsOf(recording: Recording): Drift[] {
  const limits = limitsOf(recording.dtype);
  const drifts = recording.layers.flatMap((layer, i) =>
    KINDS.flatMap((kind) => driftOf(recording, layer, i, kind, limits) ?? []),
  );
  return drifts.sort((a, b) => a.headroom - b.headroom || b.slope - a.slope);
}

function driftOf(
  recording: Recording,
  layer: string,
  index: number,
  kind: Kind,
  limits: FormatLimits,
): Drift | null {
  const histograms = recording.samples.map((sample) => recording.histogram(sample, index, kind));
  const counted = histograms.filter((bins) => bins.some((byte) => byte !== 0));
  if (counted.length === 0) return null;
  const tops = histograms.map(topExponent);
  const last = tops.at(-1) ?? null;
  const slope = slopeOf(
    recording.samples.map(({ window }) => window),
    tops,
  );
  const headroom = last === null ? Number.POSITIVE_INFINITY : limits.top - last;
  const rising = slope > 0 && headroom > 0 && Number.isFinite(headroom);
  return {
    layer,
    part: recording.parts[index] ?? null,
    kind,
    first: tops[0] ?? null,
    last,
    headroom,
    slope,
    stepsLeft: rising ? Math.round((headroom / slope) * 1000) : null,
    vanished: shareBelow(counted.at(-1)!, limits.bottom),
  };
}

/** Least squares through the finite points, per 1,000 steps. */
function slopeOf(windows: readonly number[], tops: readonly (number | null)[]): number {
  const points = windows.flatMap((x, i) => {
    const y = tops[i]!;
    return y !== null && Number.isFinite(y) ? [[x, y] as const] : [];
  });
  if (points.length < 2) return 0;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const joint = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return spread === 0 ? 0 : (joint / spread) * 1000;
}
