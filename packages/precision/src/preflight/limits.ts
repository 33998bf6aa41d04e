import type { DType } from '@mezzo/torch';

/**
 * What a preflight tolerates. Two kinds: a floor below which a difference means nothing, and a multiple of what
 * rounding alone does to this model on this batch (the control pass). Measured on YOLOv8n, untrained and after 40
 * steps, 64 to 640 px, 1 to 6 channels, fp16 and bf16: the largest values seen stand beside each.
 */
export const LIMITS = {
  /** 1 - cosine between the whole gradients. Seen 0.33 where rounding alone gave 0.30; 0.13 against 0.18. */
  gradientAngle: { floor: 0.2, timesControl: 2 },
  /** The same for one layer; its few parameters make it noisier. Seen 0.33 against 0.17. */
  layerAngle: { floor: 0.5, timesControl: 2 },
  /** |loss - loss in float32| / |loss in float32|. Seen 0.057 against 0.016. */
  lossGap: { floor: 0.1, timesControl: 4 },
  /** 1 - cosine of the control itself: beyond it rounding alone turns a step into a random one. Seen 0.31. */
  controlAngle: 0.9,
  /** The same with the weights alone rounded: the batch is at fault, not the format. Seen 0.12 and more in such. */
  unstableAngle: 0.05,
  /** Share of the whole gradient's norm below which a layer's own direction is not judged. */
  layerShare: 1e-4,
  /** A layer has lost its gradient when more than this part of its nonzero elements came out as zero. */
  vanished: 0.5,
  /**
   * Relative L2 error of one convolution, in units of the format's rounding (2^-11, 2^-8). One correct rounding
   * gives 0.6; kernels that are wrong give NaN or more than 100.
   */
  convolutionRoundings: 8,
  /** Room that a value must keep to the format's limits before an operation there counts as unsafe. */
  rangeFactor: 16,
} as const;

/** Half the distance from 1 to the next number: the largest relative error of one rounding. */
export const ROUNDING: Partial<Record<DType, number>> = { float16: 2 ** -11, bfloat16: 2 ** -8 };

/** Whether a difference is larger than its floor and than what rounding alone makes of it. */
export function exceeds(
  value: number,
  control: number | null,
  { floor, timesControl }: { readonly floor: number; readonly timesControl: number },
): boolean {
  return !(value <= Math.max(floor, timesControl * (control ?? 0)));
}
