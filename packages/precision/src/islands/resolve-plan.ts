import { didYouMean } from '@mezzo/libtorch/nearest';
import { nn } from '@mezzo/torch';
import { layerPattern } from './layer-pattern.ts';
import { type PlanDType, PlanError, type PlanRule, type PrecisionPlan } from './plan.ts';

type OpRules = ReadonlyMap<string, PlanRule>;

/** What a plan says about one module. */
export interface LayerPrecision {
  readonly name: string;
  readonly module: nn.Module;
  readonly dtype: PlanDType;
  /** The rule that decided, its own or that of a module it is part of; null for the plan's base. */
  readonly rule: PlanRule | null;
  /** Rules for single operations, by operation. */
  readonly ops: OpRules;
  /** Its dtype, or its rules for operations, are not those of the forward that calls it. */
  readonly island: boolean;
}

/**
 * Goes through the modules of a model, each once, parents first, and finds the rule for each.
 * @throws PlanError PLAN_MISMATCH for a rule that matches no module, with the nearest names
 */
export function resolvePlan(model: nn.Module, plan: PrecisionPlan): Map<string, LayerPrecision> {
  const candidates = plan.rules.map((rule) => ({ rule, fits: layerPattern(rule.layers), used: false }));
  const layers = new Map<string, LayerPrecision>();
  const seen = new Set<nn.Module>();

  const visit = (name: string, module: nn.Module, parent: Deciding, caller: Deciding): void => {
    if (seen.has(module)) return;
    seen.add(module);
    let { rule, ops } = parent;
    for (const candidate of candidates) {
      if (!candidate.fits(name)) continue;
      candidate.used = true;
      const { ops: names } = candidate.rule;
      if (names === undefined) rule = candidate.rule;
      else ops = new Map([...ops, ...names.map((op) => [op, candidate.rule] as const)]);
    }
    const own: Deciding = { dtype: rule?.dtype ?? plan.base, rule, ops };
    // A list of modules is never called itself: what calls its members is the module around it.
    const called = !(module instanceof nn.ModuleList || module instanceof nn.ModuleDict);
    const island = called && (own.dtype !== caller.dtype || own.ops !== caller.ops);
    layers.set(name, { name, module, ...own, island });
    for (const [child, each] of module.namedChildren()) {
      visit(name === '' ? child : `${name}.${child}`, each, own, called ? own : caller);
    }
  };

  const outside: Deciding = { dtype: plan.base, rule: null, ops: new Map() };
  visit('', model, outside, outside);
  candidates.forEach(({ rule, used }, i) => {
    if (!used) throw noSuchLayer(rule.layers, i + 1, layers.keys());
  });
  return layers;
}

type Deciding = Pick<LayerPrecision, 'dtype' | 'rule' | 'ops'>;

function noSuchLayer(pattern: string, rule: number, names: Iterable<string>): PlanError {
  const near = didYouMean(
    pattern.replace(/\.?\*+$/, ''),
    [...names].filter((name) => name !== ''),
  );
  return new PlanError(
    'PLAN_MISMATCH',
    `rule ${rule} of the precision plan: no layer matches '${pattern}'${near}`,
    {
      hint: "patterns are matched against whole module names, as in the model's state dict: model.22.*",
    },
  );
}
