import type { NativeProfilerEvent } from '@mezzo/libtorch';

/** One call of an operator, a backward node or a stretch under a label, on a thread of the CPU. */
export interface ProfilerEvent {
  readonly name: string;
  /** A label of `recordFunction`, not an operator. */
  readonly label: boolean;
  readonly thread: number;
  /** Seconds since the profiler began. */
  readonly start: number;
  readonly seconds: number;
  /** `seconds` without the calls inside. */
  selfSeconds: number;
  /** Shapes of the tensor arguments, where they were recorded. */
  readonly shapes: number[][];
  /** Bytes that it allocated minus those that it freed, calls inside included, where memory was recorded. */
  bytes: number;
  selfBytes: number;
  /** Time of the kernels that it launched, calls inside included. */
  cudaSeconds: number;
  selfCudaSeconds: number;
  readonly parent: ProfilerEvent | null;
}

/** A kernel, copy or fill on a device. */
export interface KernelEvent {
  readonly name: string;
  readonly device: string;
  readonly stream: number;
  readonly start: number;
  readonly seconds: number;
  readonly launchedBy: ProfilerEvent | null;
}

export interface ProfiledEvents {
  /** In the order in which they began. */
  readonly calls: readonly ProfilerEvent[];
  readonly kernels: readonly KernelEvent[];
}

/** The name that LibTorch gives to allocations. */
const MEMORY = '[memory]';

const end = ({ start, seconds }: { start: number; seconds: number }) => start + seconds;

/** What LibTorch recorded as calls within calls, with the kernels and bytes of each. */
export function eventsOf(recorded: readonly NativeProfilerEvent[]): ProfiledEvents {
  const onHost = recorded.filter(({ device }) => device === 'cpu');
  const calls = new Map<NativeProfilerEvent, ProfilerEvent>();
  const byId = new Map<number, ProfilerEvent>();
  // At the same moment the longer call is the outer one.
  const inOrder = onHost.sort((a, b) => a.start - b.start || b.seconds - a.seconds);
  const open = new Map<number, ProfilerEvent[]>();
  for (const event of inOrder) {
    const stack = open.get(event.thread) ?? [];
    open.set(event.thread, stack);
    while (stack.length > 0 && end(stack.at(-1)!) <= event.start) stack.pop();
    const parent = stack.at(-1) ?? null;
    if (event.name === MEMORY) {
      if (parent === null) continue;
      parent.selfBytes += event.bytes;
      for (let call: ProfilerEvent | null = parent; call !== null; call = call.parent)
        call.bytes += event.bytes;
      continue;
    }
    const { name, label, thread, start, seconds, shapes } = event;
    const call: ProfilerEvent = {
      name,
      label,
      thread,
      start,
      seconds,
      selfSeconds: seconds,
      shapes,
      bytes: 0,
      selfBytes: 0,
      cudaSeconds: 0,
      selfCudaSeconds: 0,
      parent,
    };
    if (parent !== null) parent.selfSeconds -= seconds;
    stack.push(call);
    calls.set(event, call);
    if (event.id !== 0) byId.set(event.id, call);
  }
  // A label spans the kernels launched under it on the device too, where they are counted already.
  const labels = new Set(onHost.flatMap(({ label, name }) => (label ? [name] : [])));
  const kernels = recorded
    .filter(({ device, name }) => device !== 'cpu' && !labels.has(name))
    .map((event) => kernelOf(event, byId));
  return { calls: [...calls.values()], kernels };
}

function kernelOf(event: NativeProfilerEvent, byId: ReadonlyMap<number, ProfilerEvent>): KernelEvent {
  const { name, device, deviceIndex, thread, start, seconds } = event;
  const launchedBy = event.launchedBy === 0 ? null : (byId.get(event.launchedBy) ?? null);
  if (launchedBy !== null) launchedBy.selfCudaSeconds += seconds;
  for (let call = launchedBy; call !== null; call = call.parent) call.cudaSeconds += seconds;
  return { name, device: `${device}:${deviceIndex}`, stream: thread, start, seconds, launchedBy };
}
