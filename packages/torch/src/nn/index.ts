import { clipGradNorm_, clipGradValue_ } from './clip-grad.ts';

export * from './activation.ts';
export * from './container.ts';
export * from './conv.ts';
export * from './dropout.ts';
export * as functional from './functional/index.ts';
export type { Forward, ForwardHook, ForwardPreHook, ForwardWrapper, FullBackwardHook } from './hooks.ts';
export * as init from './init.ts';
export { type FactoryOptions, Layer } from './layer.ts';
export * from './linear.ts';
export * from './loss.ts';
export { Module, type ModuleTarget } from './module.ts';
export * from './normalization.ts';
export { Parameter } from './parameter.ts';
export * from './pooling.ts';
export * from './resample.ts';
export type { LoadReport, StateDict } from './state.ts';

/** torch.nn.utils */
export const utils = { clipGradNorm_, clipGradValue_ };
