import type { PlanDType, PlanRule, PrecisionPlan } from './plan.ts';

export type PlanDifference =
  | { readonly kind: 'base'; readonly from: PlanDType; readonly to: PlanDType }
  | { readonly kind: 'added' | 'removed'; readonly rule: PlanRule }
  /** The same layers and operations in another dtype. */
  | { readonly kind: 'changed'; readonly from: PlanRule; readonly to: PlanRule }
  /** The rules that both have stand in another order, which decides where they overlap. */
  | { readonly kind: 'reordered' };

/** What leads from one plan to the other, in the order of the rules; reasons and history do not count. */
export function diffPlans(from: PrecisionPlan, to: PrecisionPlan): PlanDifference[] {
  const [before, after] = [byTarget(from), byTarget(to)];
  const differences: PlanDifference[] = [];
  if (from.base !== to.base) differences.push({ kind: 'base', from: from.base, to: to.base });
  for (const [target, rule] of before) {
    const now = after.get(target);
    if (now === undefined) differences.push({ kind: 'removed', rule });
    else if (now.dtype !== rule.dtype) differences.push({ kind: 'changed', from: rule, to: now });
  }
  for (const [target, rule] of after) if (!before.has(target)) differences.push({ kind: 'added', rule });
  const kept = [...before.keys()].filter((target) => after.has(target));
  const keptAfter = [...after.keys()].filter((target) => before.has(target));
  if (kept.some((target, i) => target !== keptAfter[i])) differences.push({ kind: 'reordered' });
  return differences;
}

/** Of two rules for the same target the last one counts. */
function byTarget({ rules }: PrecisionPlan): Map<string, PlanRule> {
  const found = new Map<string, PlanRule>();
  for (const rule of rules) {
    const target = JSON.stringify([rule.layers, [...(rule.ops ?? [])].sort()]);
    found.delete(target);
    found.set(target, rule);
  }
  return found;
}
