import { type ErrorDetails, MezzoError } from '@mezzo/libtorch/errors';

export const PLAN_DTYPES = ['float32', 'float16', 'bfloat16'] as const;
export type PlanDType = (typeof PLAN_DTYPES)[number];

/** Whether a plan can ask for this dtype. */
export const isPlanDType = (value: unknown): value is PlanDType =>
  PLAN_DTYPES.some((dtype) => dtype === value);

/** A dtype for some layers, or for some operations in them. */
export interface PlanRule {
  /** A pattern over module names (see {@link layerPattern}): `model.22.*`. */
  readonly layers: string;
  /** Operations by the name they are called under, `aten::exp`; without them the rule is for the whole layer. */
  readonly ops?: readonly string[];
  readonly dtype: PlanDType;
  readonly reason: string;
}

/** A rule that healing made, changed or took back, and on what evidence. */
export interface PlanChange {
  /** Accumulation window of the run, from 1. */
  readonly window: number;
  readonly layer: string;
  readonly from: PlanDType;
  readonly to: PlanDType;
  readonly reason: string;
  readonly evidence: Readonly<Record<string, unknown>>;
}

/**
 * Which precision each layer runs in: `base` for the region around the model, and rules for the layers that
 * differ. The last rule that matches a module decides; a module that no rule matches follows the one it is
 * part of. A rule with `ops` holds for these operations, whatever the layer's own dtype. Plain data: it is
 * written to `precision.json` and kept in checkpoints.
 */
export interface PrecisionPlan {
  readonly version: 1;
  readonly base: PlanDType;
  readonly rules: readonly PlanRule[];
  /** What healing did, oldest first. */
  readonly history: readonly PlanChange[];
}

/** A plan that is malformed (BAD_PLAN), or that names layers or operations which are not there (PLAN_MISMATCH). */
export class PlanError extends MezzoError {
  declare readonly code: 'BAD_PLAN' | 'PLAN_MISMATCH';

  constructor(code: 'BAD_PLAN' | 'PLAN_MISMATCH', message: string, details: ErrorDetails = {}) {
    super(code, message, details);
    this.name = 'PlanError';
  }
}

/** The plan without exceptions. */
export const uniformPlan = (base: PlanDType): PrecisionPlan => ({ version: 1, base, rules: [], history: [] });

/** The plan with further rules, which win over those it has. */
export const withRules = (plan: PrecisionPlan, rules: readonly PlanRule[]): PrecisionPlan => ({
  ...plan,
  rules: [...plan.rules, ...rules],
});

/**
 * Islands by hand: the layers that match stay in `dtype`.
 * @param patterns one or several, in a list or separated by commas: `model.22.*,model.9`
 */
export function planFromPatterns(
  base: PlanDType,
  patterns: string | readonly string[],
  dtype: PlanDType = 'float32',
): PrecisionPlan {
  const list = typeof patterns === 'string' ? patterns.split(',') : patterns;
  const rules = list.map((pattern) => ({ layers: pattern.trim(), dtype, reason: 'by hand' }));
  const empty = rules.find(({ layers }) => layers === '');
  if (empty !== undefined) {
    throw new PlanError('BAD_PLAN', `an empty layer pattern in '${list.join(',')}'`, {
      hint: "a pattern names layers: 'model.22.*'",
    });
  }
  return withRules(uniformPlan(base), rules);
}
