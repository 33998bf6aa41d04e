export { type AutocastOptions, autocast, autocasted } from './autocast.ts';
export { type CustomFwdOptions, customBwd, customFwd } from './custom-function.ts';
export { AmpError, ScaleFloorError } from './errors.ts';
export { GradScaler } from './grad-scaler.ts';
export type { GradScalerOptions } from './grad-scaler-options.ts';
export type { GradientSource } from './largest-gradient.ts';
export type { GradScalerState } from './loss-scale.ts';
export {
  exponentHistogram,
  magnitudes,
  NOT_FINITE,
  readMagnitudes,
  unscaleMagnitudes_,
} from './magnitude.ts';
export type { ScaledOptimizer } from './optimizer-progress.ts';
export type { Scalable } from './scale-outputs.ts';
export {
  advance,
  checkRule,
  FLOAT16_MAX,
  FLOAT32_MAX,
  FLOAT32_TINY,
  type ScaleChange,
  type ScaleRule,
  type ScaleState,
  scaleFor,
  startOf,
  TORCH_RULE,
  type Verdict,
} from './scale-rule.ts';
export { type AutocastDevice, getAutocastDtype, isAutocastEnabled } from './state.ts';
export { type OpenWindow, TrainingStep, type TrainingStepOptions } from './training-step.ts';
export type { RankCulprits } from './window-ranks.ts';
export type { StepResult, WindowResult } from './window-result.ts';
