import { native } from '@mezzo/libtorch';
import { refuseAsync, refusePromise } from '../autograd/synchronous.ts';
import { isAvailable as cudaIsAvailable } from '../cuda/device.ts';
import { type ChromeTrace, chromeTraceOf } from './chrome-trace.ts';
import { eventsOf, type KernelEvent, type ProfilerEvent } from './event.ts';
import { type KeyAverage, keyAveragesOf, type TableOptions, tableOf } from './key-averages.ts';

export interface ProfileOptions {
  /** Record kernels too. Default: where there is a GPU. */
  cuda?: boolean;
  /** Record the shapes of tensor arguments. Default: false. */
  recordShapes?: boolean;
  /** Record allocations. Default: false. */
  profileMemory?: boolean;
}

/** What a profiled function did, and what it returned. */
export class Profile<T = unknown> {
  readonly result: T;
  /** Wall time of the function in seconds. */
  readonly seconds: number;
  /** Operators, backward nodes and labels in the order in which they began. */
  readonly events: readonly ProfilerEvent[];
  /** What ran on devices. */
  readonly kernels: readonly KernelEvent[];

  constructor(
    result: T,
    seconds: number,
    recorded: { calls: readonly ProfilerEvent[]; kernels: readonly KernelEvent[] },
  ) {
    this.result = result;
    this.seconds = seconds;
    this.events = recorded.calls;
    this.kernels = recorded.kernels;
  }

  /** Sums over all calls of a name, with `groupByInputShape` of a name with the same shapes. */
  keyAverages(options: { groupByInputShape?: boolean } = {}): KeyAverages {
    return new KeyAverages(keyAveragesOf(this.events, options));
  }

  /** For chrome://tracing and ui.perfetto.dev: write it as JSON to a file. */
  chromeTrace(): ChromeTrace {
    return chromeTraceOf({ calls: this.events, kernels: this.kernels });
  }

  toString(): string {
    return this.keyAverages().table();
  }
}

/** An array of sums that prints as a table. */
export class KeyAverages extends Array<KeyAverage> {
  constructor(rows: readonly KeyAverage[]) {
    super();
    this.push(...rows);
  }

  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  /** @throws TorchError VALUE when there is no such column to sort by */
  table(options: TableOptions = {}): string {
    return tableOf(this, options);
  }

  override toString(): string {
    return this.table();
  }
}

/**
 * Runs `fn` under LibTorch's profiler (torch.profiler.profile), which also follows it into the backward pass:
 * `profile(fn).keyAverages().table()`. Nothing of it runs in JavaScript per operator.
 * @throws TorchError BAD_ARGUMENT inside another profile, ASYNC_REGION when `fn` is async
 */
export function profile<T>(fn: () => T): Profile<T>;
export function profile<T>(options: ProfileOptions, fn: () => T): Profile<T>;
export function profile<T>(first: ProfileOptions | (() => T), second?: () => T): Profile<T> {
  const [options, fn] = typeof first === 'function' ? [{}, first] : [first, second!];
  refuseAsync('profile', fn);
  const { cuda = cudaIsAvailable(), recordShapes = false, profileMemory = false } = options;
  native().profilerBegin(cuda, recordShapes, profileMemory);
  let running = true;
  const end = () => {
    running = false;
    return native().profilerEnd();
  };
  try {
    const start = process.hrtime.bigint();
    const result = fn();
    const seconds = Number(process.hrtime.bigint() - start) * 1e-9;
    refusePromise('profile', result);
    return new Profile(result, seconds, eventsOf(end()));
  } finally {
    if (running) end();
  }
}

/**
 * Runs `fn` under a label that profiles show around what it does (torch.profiler.record_function).
 * @throws TorchError ASYNC_REGION when `fn` is async
 */
export function recordFunction<T>(name: string, fn: () => T): T {
  refuseAsync('recordFunction', fn);
  const torch = native();
  torch.labelEnter(name);
  try {
    const result = fn();
    refusePromise('recordFunction', result);
    return result;
  } finally {
    torch.labelLeave();
  }
}
