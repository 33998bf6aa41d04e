/** A backward node and the JavaScript stack of the call that made it, empty when that was on another thread. */
export interface NativeAnomaly {
  node: string;
  stack: string;
}

/** What LibTorch's profiler saw: an operator, a backward node, a label, an allocation, a kernel. */
export interface NativeProfilerEvent {
  name: string;
  /** 'cpu', or the device that a kernel ran on. */
  device: string;
  deviceIndex: number;
  /** Thread of the CPU, or stream of a device. */
  thread: number;
  /** Seconds since the profiler began. */
  start: number;
  seconds: number;
  /** A label of the program, not an operator. */
  label: boolean;
  id: number;
  /** `id` of the operator that launched this kernel, or 0. */
  launchedBy: number;
  /** Of an allocation (event '[memory]'), negative when freed. */
  bytes: number;
  shapes: number[][];
}
