export { type AutocastOptions, autocast, autocasted } from './autocast.ts';
export { AmpError } from './errors.ts';
export { GradScaler, type GradScalerOptions, type Scalable, type ScaledOptimizer } from './grad-scaler.ts';
export type { GradScalerState } from './loss-scale.ts';
export { type AutocastDevice, getAutocastDtype, isAutocastEnabled } from './state.ts';
