export {
  AnomalyError,
  type AnomalyOptions,
  type AnomalyOrigin,
  detectAnomaly,
  setDetectAnomaly,
} from './anomaly.ts';
export { AutogradFunction as Function, type FunctionClass, FunctionContext } from './function.ts';
export { backward, grad } from './grad.ts';
export type { AccumulateHook, TensorHook } from './hooks.ts';
