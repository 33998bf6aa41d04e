export { Adam, type AdamGroup, type AdamOptions, AdamW, type AdamWOptions } from './adam.ts';
export { OptimizerError } from './errors.ts';
export * as lrScheduler from './lr-scheduler/index.ts';
export { type GroupInput, Optimizer, type ParamGroup, type ParamsInput } from './optimizer.ts';
export { SGD, type SGDGroup, type SGDOptions } from './sgd.ts';
export type { OptimizerState, SavedGroup } from './state.ts';
