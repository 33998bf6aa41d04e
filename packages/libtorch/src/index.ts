export { type AmpDefault, type AmpDevice, ampDefault, type Precision } from './amp-default.ts';
export { availableMemory } from './available-memory.ts';
export { type CompileProgress, compileAddon, findAddon } from './compile.ts';
export { availableCores, type CpuPrecision, thisCpu } from './cpu.ts';
export type { NativeAnomaly, NativeProfilerEvent } from './diagnostics.ts';
export { type Candidate, type Discovery, discoverLibTorch, requireLibTorch } from './discover.ts';
export type {
  CollectiveName,
  NativeDistributed,
  NativeGroup,
  NativeReducer,
  NativeStore,
  NativeWork,
  ReductionName,
} from './distributed.ts';
export { type DoctorReport, diagnose, type GpuReport } from './doctor.ts';
export { driverPresent } from './driver.ts';
export { type ErrorDetails, MezzoError, TorchError } from './errors.ts';
export { addonsFolder, installsFolder, mezzoHome } from './folders.ts';
export { GpuMonitor, type GpuSample } from './gpu-monitor.ts';
export { idlestGpu } from './idle-gpu.ts';
export type { NativeImage } from './image.ts';
export {
  type InstallOptions,
  type InstallPlan,
  type InstallProgress,
  installLibTorch,
  planTarget,
} from './install.ts';
export { readableBytes } from './install-failure.ts';
export { type Install, listInstalls, type Variant } from './installs.ts';
export type { LibTorch, Origin } from './libtorch.ts';
export { type LoadedAddon, loadAddon, loadedAddon } from './load.ts';
export {
  type ArgInfo,
  type CudaMemory,
  type DType,
  type FlagName,
  type Handle,
  type MemoryFormatName,
  type MemoryStats,
  type Native,
  native,
  type OpInfo,
  type ReturnInfo,
  type TypedArray,
} from './native.ts';
export { type Notice, onNotice } from './notices.ts';
export { type Nvidia, parseNvidia, probeNvidia } from './nvidia.ts';
export type {
  AutocastPolicyName,
  NativeNonFinite,
  NativeObservedOp,
  NativeRoundTrip,
  NativeTensorNote,
  NativeTrace,
  ObservedPhase,
  ObservedRule,
} from './observer.ts';
export { type Recommendation, recommendInstall } from './plan-install.ts';
export { requirePlatform } from './platform.ts';
export { type MachineProbe, probeMachine } from './probe.ts';
export type { Problem } from './problems.ts';
export { planSetup, type SetupHooks, type SetupOptions, type SetupPlan, setup } from './setup.ts';
