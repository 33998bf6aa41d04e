import type { NativeAnomaly, NativeProfilerEvent } from './diagnostics.ts';
import type { NativeDistributed } from './distributed.ts';
import { TorchError } from './errors.ts';
import type { NativeImage } from './image.ts';
import { loadAddon } from './load.ts';
import type { AutocastPolicyName, NativeTrace } from './observer.ts';

/** A tensor in the native slot table: slot and generation in one number, 0 for the undefined tensor. */
export type Handle = number;

/** PyTorch's dtype names. */
export type DType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'int16'
  | 'int8'
  | 'uint8'
  | 'bool'
  | 'uint16'
  | 'uint32'
  | 'uint64'
  | 'complex32'
  | 'complex64'
  | 'complex128'
  | 'float8_e4m3fn'
  | 'float8_e5m2'
  | 'qint8'
  | 'quint8'
  | 'qint32';

export type MemoryFormatName = 'contiguous' | 'preserve' | 'channels_last' | 'channels_last_3d';

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

export interface ArgInfo {
  name: string;
  /** As schemas print it: `Tensor`, `int[2]`, `Scalar?`. */
  type: string;
  kwargOnly: boolean;
  hasDefault: boolean;
  out: boolean;
}

export interface ReturnInfo {
  type: string;
  /** Index of the argument that this result is (in-place and `out` operators), or -1. */
  alias: number;
}

export interface OpInfo {
  id: number;
  name: string;
  overload: string;
  schema: string;
  args: ArgInfo[];
  returns: ReturnInfo[];
}

/** Bytes and counts of LibTorch's CPU allocations in this process; tensors of this thread. */
export interface MemoryStats {
  liveTensors: number;
  liveBytes: number;
  peakBytes: number;
  allocations: number;
  /** 0 when there is no limit. */
  limitBytes: number;
}

export interface CudaMemory {
  allocated: number;
  peakAllocated: number;
  reserved: number;
  peakReserved: number;
  free: number;
  total: number;
}

export type FlagName =
  | 'cudnn.benchmark'
  | 'cudnn.deterministic'
  | 'cudnn.allowTf32'
  | 'cuda.matmul.allowTf32'
  | 'mkldnn.enabled'
  | 'deterministic';

/**
 * The addon, one to one. Errors are {@link TorchError}s with the codes STALE_HANDLE, BAD_ARGUMENT, NO_SUCH_OP,
 * OUT_OF_MEMORY, INDEX, TYPE, VALUE, SHAPE, NOT_IMPLEMENTED, CUDA_MISSING and TORCH.
 */
export interface Native extends NativeImage, NativeDistributed {
  /** Every operator with a schema: `aten::add.Tensor`. */
  opNames(): string[];
  lookup(name: string, overload: string): OpInfo;
  hasKernel(id: number, dispatchKey: string): boolean;
  /**
   * Bit i of `mask` says that argument i is a tensor handle, a Float64Array of handles (0 = null) or a generator.
   * `undefined` takes the schema's default. A result that is one of the arguments comes back as `undefined`.
   */
  call(id: number, mask: number, ...args: unknown[]): unknown;
  /** Checks arguments as `call` does, without calling. */
  check(id: number, mask: number, ...args: unknown[]): void;

  free(handle: Handle): void;
  pushScope(): number;
  /** Ends the scope that `pushScope` numbered; returns how many tensors it freed. */
  popScope(depth: number): number;
  inScope(): boolean;
  keep(handle: Handle): void;
  escape(handle: Handle): void;
  /** Frees `handle` when `owner` is garbage collected. Once an object. */
  track(owner: object, handle: Handle): void;
  isLive(handle: Handle): boolean;

  dtype(handle: Handle): DType;
  shape(handle: Handle): number[];
  strides(handle: Handle): number[];
  numel(handle: Handle): number;
  itemsize(handle: Handle): number;
  device(handle: Handle): string;
  layout(handle: Handle): string;
  requiresGrad(handle: Handle): boolean;
  isLeaf(handle: Handle): boolean;
  isPinned(handle: Handle): boolean;
  isInference(handle: Handle): boolean;
  version(handle: Handle): number;
  storageOffset(handle: Handle): number;
  storageKey(handle: Handle): string;
  sameTensor(a: Handle, b: Handle): boolean;
  isContiguous(handle: Handle, format: MemoryFormatName): boolean;
  /** Whether `a[i]` and `b[i]` have equal strides for every i. */
  sameStrides(a: Float64Array, b: Float64Array): boolean;
  item(handle: Handle): number | boolean | bigint;

  /** Copies; converts when the array's type is not `dtype`. 16-bit floats travel as the bits of a Uint16Array. */
  fromTyped(data: TypedArray, shape: readonly number[], dtype: DType): Handle;
  /** Copies in row-major order; 16-bit floats come as Float32Array, bool as Uint8Array. */
  toTyped(handle: Handle): TypedArray;
  readBytes(handle: Handle): Uint8Array;
  writeBytes(handle: Handle, bytes: TypedArray, offset?: number): void;
  /** The memory of a dense CPU tensor itself; it lives as long as the buffer does. */
  bytesView(handle: Handle): ArrayBuffer;
  /** A uint8 tensor of `bytes` elements, in pinned memory where a GPU is to read it. */
  hostBuffer(bytes: number, pinned: boolean): Handle;

  backward(
    outputs: Float64Array,
    gradients: Float64Array | undefined,
    retainGraph: boolean,
    createGraph: boolean,
    inputs?: Float64Array,
  ): void;
  grads(
    outputs: Float64Array,
    inputs: Float64Array,
    gradOutputs: Float64Array | undefined,
    retainGraph: boolean,
    createGraph: boolean,
    allowUnused: boolean,
  ): Float64Array;
  grad(handle: Handle): Handle;
  /** The gradients of many tensors, 0 where there is none. */
  gradsOf(handles: Float64Array): Float64Array;
  setGrad(handle: Handle, gradient: Handle): void;
  clearGrads(handles: Float64Array): void;
  gradFn(handle: Handle): string | null;
  setRequiresGrad(handle: Handle, on: boolean): void;

  /**
   * Puts a node behind `outputs` whose backward is JavaScript; gives 0 for an output that stays the tensor it
   * is, else the handle of the one in its place. `backward` is called with the number of its frame.
   */
  applyFunction(
    name: string,
    backward: (frame: number) => void,
    inputs: Float64Array,
    outputs: Float64Array,
    notDifferentiable: Float64Array,
    dirty: Float64Array,
    saved: Float64Array,
    materialize: boolean,
  ): Float64Array;
  frameGradients(frame: number): Float64Array;
  frameSaved(frame: number): Float64Array;
  /** One gradient for each tensor input of the node, 0 for none. */
  setFrameResults(frame: number, gradients: Float64Array): void;
  /** Nodes that this thread records from now on have this number or a higher one. */
  graphPosition(): number;
  /** `outputs` again, behind one node in place of the graph recorded since `start`. */
  checkpointGraph(
    backward: (frame: number) => void,
    outputs: Float64Array,
    start: number,
    saved: Float64Array,
  ): Float64Array;
  /** The results of such a node, by way of `outputs` computed anew since `start`. */
  checkpointGradients(frame: number, outputs: Float64Array, start: number): Float64Array;
  /** `hook` takes a gradient's handle and returns another, or 0 to leave it. */
  registerTensorHook(handle: Handle, hook: (gradient: Handle) => Handle, name: string): object;
  registerAccumulatedHook(handle: Handle, hook: (leaf: Handle) => void, name: string): object;
  /** Removes what one of the two above registered; again, it does nothing. */
  removeHook(registration: object): void;
  /** Runs every backward on a thread of its own, as with a GPU, while this thread serves its JavaScript. */
  alwaysUseBackwardThread(on: boolean): void;
  /** JavaScript functions and errors that autograd holds. */
  autogradReferences(): number;
  gradEnabled(): boolean;
  setGradEnabled(on: boolean): void;
  inferenceEnter(on: boolean): number;
  inferenceExit(token: number): void;

  autocastEnabled(deviceType: string): boolean;
  setAutocastEnabled(deviceType: string, on: boolean): void;
  autocastDtype(deviceType: string): DType;
  setAutocastDtype(deviceType: string, dtype: DType): void;
  autocastNesting(): number;
  autocastIncrement(): number;
  autocastDecrement(): number;
  clearAutocastCache(): void;
  /** What the region casts this frozen weight to at every use; null when it does not. */
  frozenCastDtype(handle: Handle): DType | null;
  autocastCacheEnabled(): boolean;
  setAutocastCacheEnabled(on: boolean): void;

  /**
   * A table of operators that compute in a dtype of their own; returns its number, from 1. It lives as long as the
   * thread.
   */
  newOpPrecision(ids: Float64Array, dtypes: readonly DType[]): number;
  /** Puts a table in force on this thread, 0 for none; returns the number of the one before. */
  useOpPrecision(table: number): number;

  /**
   * Sums up every operator of this thread, and of the threads that run its backward, until `observerEnd`. With
   * `finiteness` inputs and outputs are read too; with `synchronize` the GPU is waited for around each operator.
   */
  observerBegin(finiteness: boolean, synchronize: boolean): void;
  observerEnd(): NativeTrace;
  observerEnter(layer: number): void;
  observerLeave(): void;
  /** The layer of gradients that accumulate in these parameters. */
  observerOwn(layer: number, parameters: Float64Array): void;
  /** Switches anomaly mode, for the whole process. With `checkNan` a backward node that gives NaN fails. */
  setAnomaly(enabled: boolean, checkNan: boolean): void;
  anomalyEnabled(): boolean;
  anomalyChecksNan(): boolean;
  /** Where the last backward failed under anomaly mode, and what made that node; forgets it. */
  takeAnomaly(): NativeAnomaly[] | null;

  /** Starts LibTorch's profiler; @throws TorchError BAD_ARGUMENT when it is running. */
  profilerBegin(cuda: boolean, shapes: boolean, memory: boolean): void;
  profilerEnd(): NativeProfilerEvent[];
  /** Opens a label, which the profiler shows around what runs in it. */
  labelEnter(name: string): void;
  labelLeave(): void;

  /** What autocast does with an operator on a device, asked of its autocast kernel. */
  autocastPolicy(op: number, device: string): { policy: AutocastPolicyName; refusal: string | null };

  manualSeed(seed: number | bigint): void;
  defaultGenerator(device: string): Handle;
  newGenerator(device: string, seed: number | bigint): Handle;
  generatorSeed(generator: Handle, seed: number | bigint): void;
  generatorState(generator: Handle): Uint8Array;
  setGeneratorState(generator: Handle, state: Uint8Array): void;
  freeGenerator(generator: Handle): void;

  memoryStats(): MemoryStats;
  resetPeak(): void;
  /** Allocations beyond `bytes` in use throw OUT_OF_MEMORY; 0 lifts the limit. */
  setMemoryLimit(bytes: number): void;
  /** Gives the memory of freed tensors on the host back to the system; malloc keeps it for the next ones otherwise. */
  trimMemory(): void;

  setNumThreads(count: number): void;
  getNumThreads(): number;
  cpuCapability(): string;
  buildInfo(): { version: string; mkldnn: boolean; openmp: boolean; mkl: boolean; parallel: string };
  getFlag(name: FlagName): boolean;
  setFlag(name: FlagName, on: boolean): void;

  cudaAvailable(): boolean;
  cudaDeviceCount(): number;
  cudaCapability(device: number): [number, number];
  cudaName(device: number): string;
  cudaSynchronize(device: number): void;
  cudaMemory(device: number): CudaMemory;
  cudaResetPeak(device: number): void;
  cudaEmptyCache(device: number): void;
  /** Marks the end of what is queued in the device's current stream; returns the mark's number. */
  cudaRecordEvent(device: number): number;
  /** Whether the device has come to the mark. One without a time is forgotten then. */
  cudaQueryEvent(event: number): boolean;
  /** As `cudaRecordEvent`, with the time at which the device comes to the mark. */
  cudaRecordTimedEvent(device: number): number;
  /** Milliseconds of the device between two timed marks, and forgets `from`; NaN while it has not come to `to`. */
  cudaElapsed(from: number, to: number): number;

  /** Opens a shared library for all to see; `libtorch_cuda` before anything asks for CUDA. */
  openLibrary(path: string): void;
  setErrorFactory(factory: (code: string, message: string, trace?: string) => Error): void;
}

// LibTorch raises shape errors as its plain error class; only their wording tells them apart.
const SHAPE_WORDING =
  /\b(must match|size mismatch|sizes? of tensors?|shapes? .*cannot|invalid for input of size|expected .* dims?\b|expected (?:input|weight).*(?:channels|dimension)|doesn't match the broadcast shape|not broadcastable|mat1 and mat2)/i;

let typed: Native | undefined;

/**
 * The addon of this thread; the first call finds LibTorch, compiles the addon if needed, and loads it.
 * @throws {MezzoError} LIBTORCH_MISSING and the other codes of `loadAddon`
 */
export function native(): Native {
  if (typed) return typed;
  typed = loadAddon().exports as Native;
  typed.setErrorFactory((code, message, trace) => {
    const kind = code === 'TORCH' && SHAPE_WORDING.test(message) ? 'SHAPE' : code;
    return new TorchError(kind, message, trace === undefined ? {} : { trace });
  });
  return typed;
}
