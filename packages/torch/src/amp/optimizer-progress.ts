import { full } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { HasParamGroups } from './unscale-grads.ts';

/** What a GradScaler needs of an optimizer. */
export interface ScaledOptimizer<A extends unknown[] = never[], R = unknown> extends HasParamGroups {
  step(...args: A): R;
  /** `step` applies `gradScale` and `foundInf` itself. */
  readonly stepSupportsAmpScaling?: boolean;
  /** The old contract: `step` gets `{ gradScaler }` as its last argument. */
  readonly stepTakesGradScaler?: boolean;
  gradScale?: Tensor;
  foundInf?: Tensor;
  stepCalled?: boolean;
}

/** What one optimizer has gone through since the last `update`. */
export interface Progress {
  stage: 'ready' | 'unscaled' | 'stepped';
  /** One flag per device, 1 when a gradient there is not finite. */
  foundInf: ReadonlyMap<string, Tensor>;
  /** What the flags say, once the host has read them. */
  overflow?: boolean;
}

/** Reads the flags, one per device that holds gradients, unless that was done: the host waits for the device. */
export function overflowed(progress: Progress): boolean {
  progress.overflow ??= [...progress.foundInf.values()].some((flag) => flag.item() !== 0);
  return progress.overflow;
}

/** Sum of flags of several devices. */
export function sumOn(device: string, flags: Iterable<Tensor>): Tensor {
  let sum: Tensor | undefined;
  for (const flag of flags) {
    const here = flag.to({ device, nonBlocking: true });
    sum = sum === undefined ? here : sum.add(here);
  }
  return sum ?? full([], 0, { dtype: 'float32', device });
}

export const isClosure = (arg: unknown): boolean =>
  typeof arg === 'function' || (typeof arg === 'object' && arg !== null && 'closure' in arg);
