import type { PlanRule, PrecisionPlan } from '../islands/index.ts';
import { type Cure, islandOf } from './cure.ts';
import type { Examination } from './examine.ts';
import { type Finding, finding } from './finding.ts';
import type { RiskyUse } from './risky-ops.ts';

/**
 * What the passes found: errors that no island cures, islands that do, operations to know of.
 * @param known islands that are told elsewhere
 */
export function tellCure(
  first: Examination<unknown>,
  { plan, last }: Cure<unknown>,
  known: PrecisionPlan | null,
): Finding[] {
  const uses = first.notes.risky;
  if (last.findings.length > 0) {
    return [...last.findings, ...uses.map((use) => tellUse(use, use.unsafe ? 'warning' : 'note'))];
  }
  const told = uses.map((use) => tellUse(use, severityOf(use, plan)));
  const rules = (plan?.rules ?? []).filter((rule) => rule.ops === undefined && !known?.rules.includes(rule));
  return [...rules.map((rule) => tellLayer(rule, first)), ...told];
}

const severityOf = ({ unsafe, layer }: RiskyUse, plan: PrecisionPlan | null): Finding['severity'] =>
  !unsafe ? 'note' : layer === null || plan === null ? 'error' : 'island';

function tellUse(use: RiskyUse, severity: Finding['severity']): Finding {
  const { layer, op, kind, looksAt, value, danger, calls, unsafe } = use;
  const name = op.replace('aten::', '');
  const where = layer === null ? 'outside the model' : layer === '' ? 'in the model itself' : `in ${layer}`;
  const seen =
    kind === 'range' ? `${looksAt} operand ${value.toPrecision(2)}` : `the constant ${value} becomes 0`;
  const island = layer === null ? undefined : islandOf(use);
  const cure =
    island === undefined
      ? 'move it out of the autocast region'
      : `island: ${name} of ${island.layers} in float32`;
  return finding(
    unsafe ? 'UNSAFE_OP' : 'RISKY_OP',
    `${name} runs in low precision ${where} (${seen}): ${danger}`,
    {
      severity,
      remedy: unsafe ? cure : `if training overflows there, ${cure}`,
      evidence: { layer, op, [kind === 'range' ? looksAt : 'constant']: value, calls },
      ...(island === undefined ? {} : { island }),
    },
  );
}

function tellLayer(rule: PlanRule, first: Examination<unknown>): Finding {
  const why = first.findings[0]?.message ?? 'an operation in it is unsafe';
  return finding('UNSAFE_LAYER', `${rule.layers} needs float32: ${rule.reason} (${why})`, {
    severity: 'island',
    remedy: `island: ${rule.layers} in float32`,
    evidence: { reason: rule.reason },
    island: rule,
  });
}
