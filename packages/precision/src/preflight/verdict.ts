import type { PrecisionPlan } from '../islands/index.ts';
import { FINDING_KINDS, type Finding } from './finding.ts';

/**
 * `sound`: train as asked · `sound-with-islands`: the islands of the plan make it sound, tried on this batch ·
 * `unsound`: low precision harms this model here · `unavailable`: it could not be judged.
 */
export type Verdict = 'sound' | 'sound-with-islands' | 'unsound' | 'unavailable';

export function verdictOf(findings: readonly Finding[], plan: PrecisionPlan | null): Verdict {
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.some(({ code }) => FINDING_KINDS[code].verdict === 'unavailable')) return 'unavailable';
  if (errors.length > 0) return 'unsound';
  return plan === null ? 'sound' : 'sound-with-islands';
}

/** `AMP: checks passed`, or `AMP: checks failed: <class>: <reason>`. */
export function verdictLine({
  findings,
  plan,
}: {
  readonly findings: readonly Finding[];
  readonly plan: PrecisionPlan | null;
}): string {
  const verdict = verdictOf(findings, plan);
  if (verdict === 'sound') return 'AMP: checks passed';
  if (verdict === 'sound-with-islands') {
    const islands = plan!.rules.map(({ layers, ops, dtype }) => {
      const what =
        ops === undefined ? layers : `${ops.map((op) => op.replace('aten::', '')).join(', ')} of ${layers}`;
      return `${what} in ${dtype}`;
    });
    return `AMP: checks passed with ${islands.length === 1 ? 'an island' : 'islands'}: ${islands.join('; ')}`;
  }
  const errors = findings.filter(({ severity }) => severity === 'error');
  const first = errors.find(({ code }) => FINDING_KINDS[code].verdict === verdict) ?? errors[0]!;
  return `AMP: checks failed: ${first.class}: ${first.message}`;
}
