import { applyPlan, type PrecisionPlan } from '../islands/index.ts';
import { type Finding, finding } from './finding.ts';
import { isOutOfMemory } from './fit-batch.ts';
import { type Comparison, comparePasses, judgeComparison, judgeFinite, type RoundingPrice } from './judge.ts';
import { atFiniteScale } from './loss-scale.ts';
import { isFinitePass, type PassRecord, runPass } from './run-pass.ts';
import type { PreflightSubject } from './subject.ts';
import { type PassNotes, watchPass } from './watch-pass.ts';

/** A pass in low precision under a plan, watched. */
export interface LowPass<D> {
  /** null when it threw. */
  readonly pass: PassRecord<D> | null;
  readonly notes: PassNotes;
  /** What it threw, other than for lack of memory. */
  readonly error: Error | null;
}

/**
 * Runs a low-precision pass under a plan (null: none), at a loss scale where its gradients are finite if there is one.
 * @throws TorchError OUT_OF_MEMORY
 */
export function runLowPass<D>(
  subject: PreflightSubject<D>,
  plan: PrecisionPlan | null,
  batch: number,
  scale: number,
): LowPass<D> {
  const { model, low } = subject;
  const applied = plan === null ? null : applyPlan(model, plan);
  try {
    const watched = watchPass(model, low, () =>
      atFiniteScale(low, scale, (at) => runPass(subject, { batch, dtype: low, scale: at })),
    );
    if ('result' in watched) return { pass: watched.result, notes: watched.notes, error: null };
    if (isOutOfMemory(watched.error) || !(watched.error instanceof Error)) throw watched.error;
    return { pass: null, notes: watched.notes, error: watched.error };
  } finally {
    applied?.remove();
  }
}

/** A low-precision pass with what it says. */
export interface Examination<D> extends LowPass<D> {
  readonly comparison: Comparison | null;
  /** Errors only. */
  readonly findings: readonly Finding[];
}

/** Judges a low-precision pass; `price` is asked for only when there is something to compare. */
export function examine<D>(
  subject: PreflightSubject<D>,
  reference: PassRecord<D>,
  low: LowPass<D>,
  price: (lowLayers: ReadonlySet<string>) => RoundingPrice,
): Examination<D> {
  const { pass, notes, error } = low;
  if (pass === null) {
    return { ...low, comparison: null, findings: [missingOperation(subject.low, error!, notes.failedIn)] };
  }
  if (!isFinitePass(pass)) return { ...low, comparison: null, findings: judgeFinite(subject.low, pass) };
  const comparison = comparePasses(subject, reference, pass);
  const findings = judgeComparison(subject.low, comparison, price(notes.lowLayers));
  return { ...low, comparison, findings };
}

function missingOperation(low: string, error: Error, layer: string | null): Finding {
  const where = layer === null ? '' : ` in ${layer === '' ? 'the model itself' : layer}`;
  return finding('OP_MISSING', `the model fails in ${low}${where}, and runs in float32: ${error.message}`, {
    evidence: { layer, error: error.message },
  });
}
