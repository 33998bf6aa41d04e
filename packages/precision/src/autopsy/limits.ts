import type { DType } from '@mezzo/torch';

/** What a floating-point format can hold. */
export interface FormatLimits {
  readonly largest: number;
  /** Below this, bits of precision are lost. */
  readonly smallestNormal: number;
  /** What is less than half of this becomes 0. */
  readonly smallest: number;
}

const LIMITS: Partial<Record<DType, FormatLimits>> = {
  float16: { largest: 65504, smallestNormal: 2 ** -14, smallest: 2 ** -24 },
  bfloat16: { largest: 2 ** 127 * (2 - 2 ** -7), smallestNormal: 2 ** -126, smallest: 2 ** -133 },
  float32: { largest: 2 ** 127 * (2 - 2 ** -23), smallestNormal: 2 ** -126, smallest: 2 ** -149 },
};

/** Limits of the dtype; those of float32 for a format that training does not compute in. */
export const limitsOf = (dtype: DType): FormatLimits => LIMITS[dtype] ?? LIMITS.float32!;
