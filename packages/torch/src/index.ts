export { MezzoError, TorchError } from '@mezzo/libtorch';
export { didYouMean } from '@mezzo/libtorch/nearest';
export * as amp from './amp/index.ts';
export {
  type AutocastOptions,
  autocast,
  GradScaler,
  type GradScalerOptions,
  type StepResult,
  TrainingStep,
  type TrainingStepOptions,
  type WindowResult,
} from './amp/index.ts';
export {
  detectAnomaly,
  isAnomalyCheckNanEnabled,
  isAnomalyEnabled,
  setDetectAnomaly,
} from './autograd/anomaly.ts';
export { checkpoint, checkpointSequential } from './autograd/checkpoint.ts';
export { type BackwardOptions, backward, type GradOptions, grad } from './autograd/grad.ts';
export * as autograd from './autograd/index.ts';
export { enableGrad, inferenceMode, isGradEnabled, noGrad } from './autograd/modes.ts';
export {
  areDeterministicAlgorithmsEnabled,
  backends,
  useDeterministicAlgorithms,
} from './backends/backends.ts';
export { memory } from './backends/memory.ts';
export * as cuda from './cuda/index.ts';
export { type HostMemory, hostMemory } from './data/host-memory.ts';
export * as data from './data/index.ts';
export * as distributed from './distributed/index.ts';
export * as nn from './nn/index.ts';
export * as ops from './ops/aten.generated.ts';
export { type OpArgument, type OpFunction, op } from './ops/call.ts';
export { type FunctionHandler, functionMode } from './ops/function-mode.ts';
export * as optim from './optim/index.ts';
export * as profiler from './profiler/index.ts';
export { forkRng, Generator, getRngState, initialSeed, manualSeed, setRngState } from './random/index.ts';
export type { RemovableHandle } from './removable-handle.ts';
export * from './serialize/index.ts';
export * from './tensor/compose.ts';
export * from './tensor/creation.ts';
export type { DType, MemoryFormat, TypedArray } from './tensor/dtype.ts';
export { ellipsis, type IndexElement, Slice, slice } from './tensor/index-access.ts';
export { keep, scope } from './tensor/scope.ts';
export { type NestedValues, Tensor, type ToOptions } from './tensor/tensor.ts';
export * as tensorboard from './tensorboard/index.ts';
export { getNumThreads, setNumThreads } from './threads.ts';
export { setWarningHandler, type Warning, warn } from './warning.ts';
