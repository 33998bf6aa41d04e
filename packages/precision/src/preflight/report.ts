import type { PrecisionPlan } from '../islands/index.ts';
import type { Finding } from './finding.ts';
import { type Verdict, verdictLine, verdictOf } from './verdict.ts';

/** What was measured; null where it was not come to. */
export interface PreflightNumbers {
  readonly lossGap: number | null;
  /** Smallest cosine between the gradients of a layer that matters. */
  readonly minGradCosine: number | null;
  readonly boxErrorPx: number | null;
  /** Cosine between the whole gradients, and what rounding alone makes of it. */
  readonly gradCosine: number | null;
  readonly roundingGradCosine: number | null;
  readonly roundingLossGap: number | null;
  /** Largest relative error of a convolution, where all are right. */
  readonly convolutionError: number | null;
  readonly convolutions: number;
  /** Loss scale of the low-precision pass. */
  readonly scale: number | null;
  /** Samples that were compared. */
  readonly batch: number;
  readonly peakBytes: number | null;
  readonly peakBytesFloat32: number | null;
  readonly seconds: number;
  /** Further comparisons of the subject, by name. */
  readonly differences: Readonly<Record<string, number>>;
  /** The same for what rounding alone makes of them. */
  readonly roundingDifferences: Readonly<Record<string, number>>;
}

/** The outcome of a preflight; plain data. */
export interface PreflightReport {
  readonly ok: boolean;
  readonly verdict: Verdict;
  /** `AMP: checks passed`, or `AMP: checks failed: <class>: <reason>`. */
  readonly line: string;
  readonly findings: readonly Finding[];
  readonly numbers: PreflightNumbers;
  /** The islands that make it sound; null when none are needed or known. */
  readonly plan: PrecisionPlan | null;
}

/** Before anything was measured. */
export const UNKNOWN: Omit<PreflightNumbers, 'batch' | 'seconds'> = {
  lossGap: null,
  minGradCosine: null,
  boxErrorPx: null,
  gradCosine: null,
  roundingGradCosine: null,
  roundingLossGap: null,
  convolutionError: null,
  convolutions: 0,
  scale: null,
  peakBytes: null,
  peakBytesFloat32: null,
  differences: {},
  roundingDifferences: {},
};

/** A report from findings alone, where there was nothing to measure. */
export const reportOf = (findings: readonly Finding[]): PreflightReport =>
  makeReport(findings, null, { ...UNKNOWN, batch: 0, seconds: 0 });

/** A report with the verdict that its findings come to. */
export function makeReport(
  findings: readonly Finding[],
  plan: PrecisionPlan | null,
  numbers: PreflightNumbers,
): PreflightReport {
  const verdict = verdictOf(findings, plan);
  const ok = verdict === 'sound' || verdict === 'sound-with-islands';
  return { ok, verdict, line: verdictLine({ findings, plan }), findings, numbers, plan };
}
