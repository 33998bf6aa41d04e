export { type AutocastOptions, autocast, autocasted } from './autocast.ts';
export { AmpError } from './errors.ts';
export { GradScaler, type GradScalerOptions, type Scalable, type ScaledOptimizer } from './gradScaler.ts';
export type { GradScalerState } from './lossScale.ts';
export { type AutocastDevice, getAutocastDtype, isAutocastEnabled } from './state.ts';
