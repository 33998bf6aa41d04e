export { autocast, type AutocastOptions, autocasted } from './autocast.ts';
export { AmpError } from './errors.ts';
export {
  GradScaler,
  type GradScalerOptions,
  type GradScalerState,
  type Scalable,
  type ScaledOptimizer,
} from './gradScaler.ts';
export { type AutocastDevice, getAutocastDtype, isAutocastEnabled } from './state.ts';
