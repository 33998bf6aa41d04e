import { applyPlan, type PlanRule, type PrecisionPlan, uniformPlan, withRules } from '../islands/index.ts';
import { OUTSIDE, observe } from '../observe/index.ts';
import type { Examination } from './examine.ts';
import { weighty } from './judge.ts';
import { LIMITS } from './limits.ts';
import type { RiskyUse } from './risky-ops.ts';
import { runPass } from './run-pass.ts';
import type { PreflightSubject } from './subject.ts';

/** Islands tried before the search gives up. */
const ROUNDS = 8;

/** What a search for islands came to. */
export interface Cure<D> {
  /** The plan of the last examination; null when no island was needed, or none could be thought of. */
  readonly plan: PrecisionPlan | null;
  readonly last: Examination<D>;
}

/**
 * Adds islands to the plan until a pass under it has no errors and no unsafe operation is left in low precision:
 * first the operations seen to be unsafe, then the place where the first inf or NaN arises, then the layers whose
 * gradients are off.
 * @param known islands that are known to be needed, under which `first` ran
 */
export function searchCure<D>(
  subject: PreflightSubject<D>,
  known: PrecisionPlan | null,
  first: Examination<D>,
  examinePlan: (plan: PrecisionPlan) => Examination<D>,
): Cure<D> {
  let plan = known;
  let last = first;
  for (let round = 0; round < ROUNDS && !isWell(last); round++) {
    const rules = plan?.rules ?? [];
    const fresh = proposals(subject, plan, last).filter(
      (rule) => !isWholeModel(rule) && !rules.some((old) => sameRule(old, rule)),
    );
    if (fresh.length === 0) break;
    plan = withRules(plan ?? uniformPlan(subject.low), fresh);
    last = examinePlan(plan);
  }
  return { plan, last };
}

export const unsafeUses = ({ notes }: { notes: { risky: readonly RiskyUse[] } }): RiskyUse[] =>
  notes.risky.filter(({ unsafe }) => unsafe);

/** No errors, and nothing unsafe that an island could reach. */
const isWell = (examination: Examination<unknown>): boolean =>
  examination.findings.length === 0 && unsafeUses(examination).every(({ layer }) => layer === null);

/** A model that is one float32 island is a model without AMP. */
const isWholeModel = ({ layers, ops }: PlanRule): boolean => layers === '*' && ops === undefined;

const sameRule = (a: PlanRule, b: PlanRule): boolean =>
  a.layers === b.layers && JSON.stringify(a.ops) === JSON.stringify(b.ops);

/** Rules that may help, those with the best evidence first and alone. */
function proposals<D>(
  subject: PreflightSubject<D>,
  plan: PrecisionPlan | null,
  seen: Examination<D>,
): PlanRule[] {
  const unsafe = unsafeUses(seen).filter(({ layer }) => layer !== null);
  if (unsafe.length > 0) return unsafe.map((use) => islandOf(use, plan));
  if (seen.pass === null)
    return seen.notes.failedIn === null ? [] : [layerRule(seen.notes.failedIn, 'it fails in low precision')];
  if (seen.comparison === null) return firstNonFinite(subject, plan, seen);
  const risky = seen.notes.risky.filter(({ layer }) => layer !== null);
  if (risky.length > 0) return risky.map((use) => islandOf(use, plan));
  const off = weighty(seen.comparison.gradients.layers).filter(
    ({ cosine, zeroed }) => !(1 - cosine <= LIMITS.layerAngle.floor) || zeroed > LIMITS.vanished,
  );
  // An error of one layer shows in the gradients of all before it: the last one is nearest to where it arises.
  return off.slice(-1).map(({ layer }) => layerRule(layer, 'its gradient in low precision points elsewhere'));
}

/** The operation in float32; the whole layer where the operation works in place, or that was tried before. */
export function islandOf({ layer, op, danger }: RiskyUse, plan: PrecisionPlan | null = null): PlanRule {
  const reason = `${op.replace('aten::', '')}: ${danger}`;
  const rule: PlanRule = { layers: layer === '' ? '*' : layer!, ops: [op], dtype: 'float32', reason };
  if (op.endsWith('_') || plan?.rules.some((old) => sameRule(old, rule))) return layerRule(layer!, reason);
  return rule;
}

const layerRule = (layer: string, reason: string): PlanRule => ({
  layers: layer === '' ? '*' : layer,
  dtype: 'float32',
  reason,
});

/** The island around the operation that made the first inf or NaN. */
function firstNonFinite<D>(
  subject: PreflightSubject<D>,
  plan: PrecisionPlan | null,
  { pass }: Examination<D>,
): PlanRule[] {
  const { model, low } = subject;
  const { batch, scale } = pass!.settings;
  const applied = plan === null ? null : applyPlan(model, plan);
  try {
    const { trace } = observe(model, { finiteness: true }, () =>
      runPass(subject, { batch, dtype: low, scale }),
    );
    const place = trace.firstNonFinite;
    if (place === null || place.layer === OUTSIDE) return [];
    const op = place.forwardOp ?? place.op;
    const reason = `${op.replace('aten::', '')} gives the first number that is not finite`;
    return [layerRule(place.layer, reason)];
  } finally {
    applied?.remove();
  }
}
