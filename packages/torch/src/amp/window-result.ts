import type { RankCulprits } from './window-ranks.ts';
import type { Findings } from './window-verdict.ts';

/** What became of a window. */
export interface WindowResult {
  /** Its number, from 1. */
  readonly window: number;
  /** false: something was not finite, and everything is as before the window. */
  readonly applied: boolean;
  /** The loss scale under which it ran; null without a scaler. */
  readonly scale: number | null;
  /** L2 norm of the unscaled gradients before clipping; null without clipping. */
  readonly norm: number | null;
  /** Names of what was not finite: parameters (by their gradients) and buffers; 'loss' when only that was. */
  readonly culprits: readonly string[];
  /** Which of them on which rank, where several train together; what broke in the mean itself is on none. */
  readonly culpritsByRank: readonly RankCulprits[];
  /** The largest |gradient|, unscaled; infinite or NaN when one was. */
  readonly largest: number;
  /** The same for each parameter that had a gradient, in the order of `names`. */
  readonly magnitudes: Float32Array;
  readonly names: readonly string[];
}

export interface StepResult {
  /** Did this batch end its window? */
  readonly complete: boolean;
  /** null for an open window, and for one whose verdict is still on the device (`onWindow` tells it). */
  readonly applied: boolean | null;
  readonly scale: number | null;
  readonly norm: number | null;
  readonly culprits: readonly string[];
  readonly culpritsByRank: readonly RankCulprits[];
  readonly largest: number | null;
}

/** An open window, or one that is still to be decided. */
export const UNDECIDED = {
  applied: null,
  scale: null,
  norm: null,
  culprits: [],
  culpritsByRank: [],
  largest: null,
} as const;

export function resultOf(window: number, findings: Findings): WindowResult {
  const { finite: applied, scale, norm, culprits, culpritsByRank, magnitudes, names } = findings;
  const largest = largestOf(magnitudes);
  return { window, applied, scale, norm, culprits, culpritsByRank, largest, magnitudes, names };
}

/** NaN when one is. */
export const largestOf = (values: Float32Array): number => values.reduce((a, b) => Math.max(a, b), 0);
