export { MezzoError, TorchError } from '@mezzo/libtorch';
export { backward, grad, type BackwardOptions, type GradOptions } from './autograd/grad.ts';
export { enableGrad, inferenceMode, isGradEnabled, noGrad } from './autograd/modes.ts';
export * as nn from './nn/index.ts';
export { op, type OpArgument, type OpFunction } from './ops/call.ts';
export * from './tensor/creation.ts';
export * from './tensor/compose.ts';
export type { DType, MemoryFormat, TypedArray } from './tensor/dtype.ts';
export { ellipsis, type IndexElement, Slice, slice } from './tensor/index-access.ts';
export { keep, scope } from './tensor/scope.ts';
export { type NestedValues, Tensor, type ToOptions } from './tensor/tensor.ts';
export * as amp from './amp/index.ts';
export { autocast, type AutocastOptions, GradScaler, type GradScalerOptions } from './amp/index.ts';
export {
  areDeterministicAlgorithmsEnabled,
  backends,
  useDeterministicAlgorithms,
} from './backends/backends.ts';
export { memory } from './backends/memory.ts';
export * as cuda from './cuda/index.ts';
export * as data from './data/index.ts';
export * as optim from './optim/index.ts';
export { forkRng, Generator, getRngState, initialSeed, manualSeed, setRngState } from './random/index.ts';
export { setWarningHandler, type Warning } from './warning.ts';
export { getNumThreads, setNumThreads } from './threads.ts';
export { type HostMemory, hostMemory } from './data/hostMemory.ts';
