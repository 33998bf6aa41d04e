export { AutogradFunction as Function, type FunctionClass, FunctionContext } from './function.ts';
export type { AccumulateHook, TensorHook } from './hooks.ts';
