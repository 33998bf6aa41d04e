export { type Candidate, type Discovery, discoverLibTorch, requireLibTorch } from './discover.ts';
export { type CompileProgress, compileAddon, findAddon } from './compile.ts';
export { driverPresent } from './driver.ts';
export { type ErrorDetails, MezzoError, TorchError } from './errors.ts';
export { addonsFolder, installsFolder, mezzoHome } from './folders.ts';
export type { NativeImage } from './image.ts';
export type { LibTorch, Origin } from './libtorch.ts';
export { type LoadedAddon, loadAddon, loadedAddon } from './load.ts';
export { type Notice, onNotice } from './notices.ts';
export {
  type ArgInfo, type CudaMemory, type DType, type FlagName, type Handle, type MemoryFormatName, type MemoryStats,
  type Native, native, type OpInfo, type ReturnInfo, type TypedArray,
} from './native.ts';
export {
  type InstallOptions,
  type InstallPlan,
  type InstallProgress,
  installLibTorch,
  planTarget,
} from './install.ts';
