export { AppliedPlan, applyPlan } from './apply-plan.ts';
export {
  AutoPrecision,
  type AutoPrecisionOptions,
  type AutoPrecisionState,
  type PrecisionEvent,
  type Replay,
  type WindowOutcome,
} from './auto-precision.ts';
export { blameGradients } from './blame.ts';
export { diffPlans, type PlanDifference } from './diff-plans.ts';
export {
  advanceHealing,
  HEALING_DEFAULTS,
  HEALTHY,
  type HealingOptions,
  type HealingState,
  healingRules,
  type LayerDtypes,
  type LayerHealth,
  type Overflow,
  type WindowReport,
  wantsEvidence,
} from './healing.ts';
export { layerPattern } from './layer-pattern.ts';
export { locateOverflow } from './locate-overflow.ts';
export { formatPlan, parsePlan, readPlan, writePlan } from './parse-plan.ts';
export {
  isPlanDType,
  PLAN_DTYPES,
  type PlanChange,
  type PlanDType,
  PlanError,
  type PlanRule,
  type PrecisionPlan,
  planFromPatterns,
  uniformPlan,
  withRules,
} from './plan.ts';
export { type LayerPrecision, resolvePlan } from './resolve-plan.ts';
