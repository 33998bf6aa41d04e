import { native, TorchError } from '@mezzo/libtorch';
import { refuseAsync, refusePromise } from './synchronous.ts';

export interface AnomalyOptions {
  /** Also fail when a backward node gives NaN. Default: true. */
  checkNan?: boolean;
}

/** A node of the graph and the JavaScript stack of the call that made it, null when that is not known. */
export interface AnomalyOrigin {
  readonly node: string;
  readonly stack: string | null;
}

/** A backward that failed in anomaly mode: code NAN_IN_BACKWARD, or the one that it has outside that mode. */
export class AnomalyError extends TorchError {
  /** The node that failed, then, in a backward of a backward, the nodes that made it. */
  readonly origins: readonly AnomalyOrigin[];

  constructor(cause: TorchError, origins: readonly AnomalyOrigin[]) {
    const code = / returned nan values /.test(cause.message) ? 'NAN_IN_BACKWARD' : cause.code;
    super(code, [cause.message, ...origins.map(describeOrigin)].join('\n'), { cause });
    this.name = 'AnomalyError';
    this.origins = origins;
  }
}

/** Frames that anomaly mode keeps of a stack: enough to pass through a model of many layers. */
const STACK_FRAMES = 60;

let framesBefore: number | null = null;

/**
 * Switches anomaly mode for the whole process (torch.autograd.set_detect_anomaly): nodes of the graph remember
 * the call that made them, and a backward that fails or gives NaN throws an AnomalyError which names both. Slow.
 */
export function setDetectAnomaly(enabled: boolean, options: AnomalyOptions = {}): void {
  native().setAnomaly(enabled, options.checkNan ?? true);
  if (enabled) {
    framesBefore ??= Error.stackTraceLimit;
    Error.stackTraceLimit = STACK_FRAMES;
  } else if (framesBefore !== null) {
    Error.stackTraceLimit = framesBefore;
    framesBefore = null;
  }
}

/**
 * Runs `fn`, forward and backward, in anomaly mode (torch.autograd.detect_anomaly).
 * @throws AnomalyError where a backward in it fails, TorchError ASYNC_REGION when `fn` is async
 */
export function detectAnomaly<T>(fn: () => T): T;
export function detectAnomaly<T>(options: AnomalyOptions, fn: () => T): T;
export function detectAnomaly<T>(first: AnomalyOptions | (() => T), second?: () => T): T {
  const [options, fn] = typeof first === 'function' ? [{}, first] : [first, second!];
  refuseAsync('detectAnomaly', fn);
  const before = { enabled: isAnomalyEnabled(), checkNan: isAnomalyCheckNanEnabled() };
  setDetectAnomaly(true, options);
  try {
    const result = fn();
    refusePromise('detectAnomaly', result);
    return result;
  } finally {
    setDetectAnomaly(before.enabled, before);
  }
}

export const isAnomalyEnabled = (): boolean => native().anomalyEnabled();

export const isAnomalyCheckNanEnabled = (): boolean => native().anomalyChecksNan();

/** @internal What a failed run of the engine throws: with the forward call that led to it, where it is known. */
export function withOrigin(error: unknown): unknown {
  const origins = native().takeAnomaly();
  if (origins === null || !(error instanceof TorchError)) return error;
  return new AnomalyError(
    error,
    origins.map(({ node, stack }) => ({ node, stack: programFrames(stack) })),
  );
}

/** This package's own files; the layers of nn are kept, they say where in a model it was. */
const OWN_FILES = new URL('../', import.meta.url).href;
const LAYERS = `${OWN_FILES}nn/`;
const isMachinery = (frame: string) =>
  frame.includes('node:internal') || (frame.includes(OWN_FILES) && !frame.includes(LAYERS));

/** The frames of a stack but for Mezzo's own and Node's; null when there are none. */
function programFrames(stack: string): string | null {
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line) && !isMachinery(line));
  return frames.length === 0 ? null : frames.join('\n');
}

function describeOrigin({ node, stack }: AnomalyOrigin, i: number): string {
  const [what, relation] =
    i === 0
      ? [`Error detected in ${node}.`, 'caused the error']
      : [`Previous calculation was induced by ${node}.`, 'induced the previous calculation'];
  return stack === null
    ? `${what} No forward pass information available. Enable anomaly detection during the forward pass.`
    : `${what} Traceback of forward call that ${relation}:\n${stack}`;
}
