import type { ProfiledEvents } from './event.ts';

/** One entry of the Trace Event Format, times in microseconds. */
interface TraceEntry {
  ph: 'X' | 'M';
  name: string;
  cat?: string;
  pid: number | string;
  tid: number | string;
  ts?: number;
  dur?: number;
  args: Record<string, unknown>;
}

export interface ChromeTrace {
  readonly displayTimeUnit: 'ms';
  readonly traceEvents: readonly TraceEntry[];
}

const MICROSECONDS = 1e6;

/** The events for chrome://tracing and ui.perfetto.dev: threads of the CPU, then the streams of each device. */
export function chromeTraceOf({ calls, kernels }: ProfiledEvents): ChromeTrace {
  const processName = (pid: number | string, name: string): TraceEntry => ({
    ph: 'M',
    name: 'process_name',
    pid,
    tid: 0,
    args: { name },
  });
  const { pid } = process;
  const traceEvents: TraceEntry[] = [processName(pid, `node ${pid} (CPU)`)];
  for (const device of new Set(kernels.map((kernel) => kernel.device))) {
    traceEvents.push(processName(device, device));
  }
  for (const { name, label, thread, start, seconds, shapes, bytes } of calls) {
    traceEvents.push({
      ph: 'X',
      name,
      cat: label ? 'user_annotation' : 'cpu_op',
      pid,
      tid: thread,
      ts: start * MICROSECONDS,
      dur: seconds * MICROSECONDS,
      args: { ...(shapes.length > 0 && { 'Input Dims': shapes }), ...(bytes !== 0 && { Bytes: bytes }) },
    });
  }
  for (const { name, device, stream, start, seconds, launchedBy } of kernels) {
    traceEvents.push({
      ph: 'X',
      name,
      cat: 'kernel',
      pid: device,
      tid: `stream ${stream}`,
      ts: start * MICROSECONDS,
      dur: seconds * MICROSECONDS,
      args: launchedBy === null ? {} : { 'launched by': launchedBy.name },
    });
  }
  return { displayTimeUnit: 'ms', traceEvents };
}
