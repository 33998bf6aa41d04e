import { isAvailable as cudaIsAvailable } from '../cuda/device.ts';
import { full } from '../tensor/creation.ts';
import { TensorHandle } from '../tensor/handle.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { warn } from '../warning.ts';
import { AmpError } from './errors.ts';
import { type GradScalerState, LossScale } from './loss-scale.ts';
import { Replicas } from './replicas.ts';
import type { AutocastDevice } from './state.ts';
import { type HasParamGroups, unscaleGrads } from './unscale-grads.ts';

export interface GradScalerOptions {
  /** Default: 'cuda' when there is a GPU, else 'cpu'. */
  device?: AutocastDevice;
  initScale?: number;
  /** Above 1. */
  growthFactor?: number;
  /** Below 1. */
  backoffFactor?: number;
  /** Steps in a row without overflow after which the scale grows. */
  growthInterval?: number;
  /** A disabled scaler passes everything through, so one loop serves with and without. */
  enabled?: boolean;
}

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

/** Nested lists of tensors; other iterables become lazy ones. */
export type Scalable = Tensor | Iterable<Scalable>;

/** What one optimizer has gone through since the last `update`. */
interface Progress {
  stage: 'ready' | 'unscaled' | 'stepped';
  /** One flag per device, 1 when a gradient there is not finite. */
  foundInf: ReadonlyMap<string, Tensor>;
}

/**
 * Dynamic loss scaling (torch.amp.GradScaler). Multiply the loss by a large factor, so that small fp16
 * gradients do not vanish; divide the gradients by it before the step; leave the step out when they
 * overflowed.
 * - `scale(loss).backward()`, optionally `unscale_(optimizer)` to clip, `step(optimizer)`, `update()`.
 * - Overflow: the scale is multiplied by `backoffFactor`. After `growthInterval` steps without one: by
 *   `growthFactor`. Start high, because a scale that is too high comes down far faster than a low one rises.
 * - One check kernel per device and dtype, one host read per step; none with a fused optimizer.
 * - Several optimizers share one scaler: `step` each, `update` once.
 */
export class GradScaler {
  private readonly device: AutocastDevice;
  private readonly enabled: boolean;
  private readonly lossScale: LossScale;
  private readonly progress = new Map<object, Progress>();
  private readonly lastSkips = new WeakMap<object, boolean | null>();

  /** @throws AmpError ASSERTION when growthFactor ≤ 1 or backoffFactor ≥ 1 */
  constructor(options: GradScalerOptions = {}) {
    const { initScale = 65536, growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000 } = options;
    const { device = cudaIsAvailable() ? 'cuda' : 'cpu', enabled = true } = options;
    this.device = device;
    this.enabled = enabled && (device !== 'cuda' || cudaIsAvailable());
    this.lossScale = new LossScale(initScale, growthFactor, backoffFactor, growthInterval);
    if (enabled && !this.enabled) {
      warn(
        'CUDA_UNAVAILABLE',
        'torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.',
      );
    }
    if (!this.enabled) return;
    if (growthFactor <= 1) throw new AmpError('ASSERTION', 'The growth factor must be > 1.0.');
    if (backoffFactor >= 1) throw new AmpError('ASSERTION', 'The backoff factor must be < 1.0.');
  }

  /**
   * The outputs times the scale, each on its own device. The first call puts the scale on the device of its
   * first tensor.
   * @throws AmpError VALUE when something in there is no tensor
   */
  scale<T extends Scalable>(outputs: T): T;
  scale(outputs: Scalable): Scalable {
    if (!this.enabled) return outputs;
    let replicas: Replicas | undefined;
    const scaled = (value: unknown): Scalable => {
      if (value instanceof TensorHandle) {
        replicas ??= new Replicas(this.lossScale.on(value.device));
        return (value as Tensor).mul(replicas.on(value.device));
      }
      if (Array.isArray(value)) return value.map(scaled);
      if (typeof value === 'object' && value !== null && Symbol.iterator in value) {
        return lazily(value as Iterable<unknown>, scaled);
      }
      throw new AmpError('VALUE', 'outputs must be a Tensor or an iterable of Tensors');
    };
    return scaled(outputs);
  }

  /**
   * Divides the optimizer's gradients by the scale, so that they can be clipped or read, and notes whether
   * they are finite. Once per optimizer and update; `step` does it otherwise.
   * @throws AmpError RUNTIME when called twice or after `step`, ASSERTION before any `scale`, VALUE for fp16
   *   gradients
   */
  unscale_(optimizer: ScaledOptimizer): void {
    if (!this.enabled) return;
    const scale = this.lossScale.require('unscale_');
    const progress = this.progressOf(optimizer);
    if (progress.stage === 'unscaled') {
      throw new AmpError(
        'RUNTIME',
        'unscale_() has already been called on this optimizer since the last update().',
      );
    }
    if (progress.stage === 'stepped')
      throw new AmpError('RUNTIME', 'unscale_() is being called after step().');
    // float64, because the reciprocal in float32 would round twice.
    progress.foundInf = unscaleGrads(optimizer, () => scale.double().reciprocal().float(), false);
    progress.stage = 'unscaled';
  }

  /**
   * Steps the optimizer unless its gradients overflowed; returns what its `step` returned, or undefined.
   * `skipped(optimizer)` tells which it was.
   * @throws AmpError RUNTIME for a second step before `update` or a closure, ASSERTION before any `scale` or
   *   when no parameter has a gradient
   */
  step<A extends unknown[], R>(optimizer: ScaledOptimizer<A, R>, ...args: A): R | undefined {
    if (!this.enabled) return optimizer.step(...args);
    if (args.some(isClosure)) {
      throw new AmpError('RUNTIME', 'Closure use is not currently supported if GradScaler is enabled.');
    }
    const scale = this.lossScale.require('step');
    const progress = this.progressOf(optimizer);
    if (progress.stage === 'stepped') {
      throw new AmpError('RUNTIME', 'step() has already been called since the last update().');
    }
    if (optimizer.stepTakesGradScaler === true) return this.stepOldContract(optimizer, progress, args);
    if (optimizer.stepSupportsAmpScaling === true) return this.stepFused(optimizer, progress, scale, args);
    return this.stepChecked(optimizer, progress, args);
  }

  /**
   * Whether the last `step` of this optimizer was left out; undefined before the first one, null when the
   * optimizer decided on the device and the host has not read what.
   */
  skipped(optimizer: ScaledOptimizer): boolean | null | undefined {
    return this.lastSkips.get(optimizer);
  }

  /**
   * Ends the iteration: adapts the scale to what the optimizers met, or sets it to `newScale` (copied).
   * @throws AmpError ASSERTION before any `scale`, when no gradients were checked, or for a `newScale` tensor
   *   that is not one number without gradient on the scaler's device
   */
  update(newScale?: number | Tensor): void {
    if (!this.enabled) return;
    const scale = this.lossScale.require('update');
    const flags = [...this.progress.values()].flatMap(({ foundInf }) => [...foundInf.values()]);
    if (newScale !== undefined) this.lossScale.replace(newScale, this.device);
    else if (flags.length === 0)
      throw new AmpError('ASSERTION', 'No inf checks were recorded prior to update.');
    else scope(() => this.lossScale.adapt(sumOn(scale.device, flags)));
    for (const flag of flags) flag.dispose();
    this.progress.clear();
  }

  /** The current scale; 1 when disabled. Makes the host wait for the device. */
  getScale(): number {
    return this.enabled ? this.lossScale.value() : 1;
  }

  /** Steps without overflow since the scale last changed. Makes the host wait for the device. */
  getGrowthTracker(): number {
    return this.enabled ? this.lossScale.trackerValue() : 0;
  }

  getGrowthFactor(): number {
    return this.lossScale.growthFactor;
  }

  setGrowthFactor(factor: number): void {
    this.lossScale.growthFactor = factor;
  }

  getBackoffFactor(): number {
    return this.lossScale.backoffFactor;
  }

  setBackoffFactor(factor: number): void {
    this.lossScale.backoffFactor = factor;
  }

  getGrowthInterval(): number {
    return this.lossScale.growthInterval;
  }

  setGrowthInterval(interval: number): void {
    this.lossScale.growthInterval = interval;
  }

  isEnabled(): boolean {
    return this.enabled;
  }

  /** Everything a checkpoint needs, in PyTorch's format; call it after `update`. {} when disabled. */
  stateDict(): GradScalerState | Record<string, never> {
    return this.enabled ? this.lossScale.stateDict() : {};
  }

  /**
   * Takes over what `stateDict` gave; does nothing when disabled.
   * @throws AmpError RUNTIME for the empty state of a disabled scaler
   */
  loadStateDict(state: GradScalerState | Record<string, never>): void {
    if (!this.enabled) return;
    if (Object.keys(state).length === 0) {
      throw new AmpError(
        'RUNTIME',
        'The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.',
      );
    }
    this.lossScale.loadStateDict(state as GradScalerState);
  }

  private progressOf(optimizer: object): Progress {
    let progress = this.progress.get(optimizer);
    if (progress === undefined) {
      progress = { stage: 'ready', foundInf: new Map() };
      this.progress.set(optimizer, progress);
    }
    return progress;
  }

  private stepChecked<A extends unknown[], R>(
    optimizer: ScaledOptimizer<A, R>,
    progress: Progress,
    args: A,
  ): R | undefined {
    if (progress.stage === 'ready') this.unscale_(optimizer);
    if (progress.foundInf.size === 0) {
      throw new AmpError('ASSERTION', 'No inf checks were recorded for this optimizer.');
    }
    // HOST SYNC: the one of a step; one flag per device that holds gradients.
    const overflow = [...progress.foundInf.values()].some((flag) => flag.item() !== 0);
    const result = overflow ? undefined : optimizer.step(...args);
    // A skip is in order: a schedule that moves on need not complain of it.
    if (overflow) optimizer.stepCalled = true;
    this.lastSkips.set(optimizer, overflow);
    progress.stage = 'stepped';
    return result;
  }

  /** The optimizer's kernels unscale and skip by themselves: nothing is read here. */
  private stepFused<A extends unknown[], R>(
    optimizer: ScaledOptimizer<A, R>,
    progress: Progress,
    scale: Tensor,
    args: A,
  ): R {
    return scope(() => {
      if (progress.stage === 'ready') {
        progress.foundInf = unscaleGrads(optimizer, () => full([], 1, { device: scale.device }), true);
        optimizer.gradScale = optimizer.gradScale === undefined ? scale : scale.mul(optimizer.gradScale);
      }
      optimizer.foundInf = sumOn(scale.device, progress.foundInf.values());
      try {
        const result = optimizer.step(...args);
        progress.stage = 'stepped';
        this.lastSkips.set(optimizer, null);
        return result;
      } finally {
        delete optimizer.gradScale;
        delete optimizer.foundInf;
      }
    });
  }

  private stepOldContract<A extends unknown[], R>(
    optimizer: ScaledOptimizer<A, R>,
    progress: Progress,
    args: A,
  ): R {
    warn(
      'DEPRECATED',
      'GradScaler is going to stop passing itself as a keyword argument to the passed ' +
        'optimizer. In the near future GradScaler registers `grad_scale: Tensor` and ' +
        '`found_inf: Tensor` to the passed optimizer and let the optimizer use them directly.',
    );
    const result = optimizer.step(...([...args, { gradScaler: this }] as unknown as A));
    progress.stage = 'stepped';
    this.lastSkips.set(optimizer, null);
    return result;
  }
}

const isClosure = (arg: unknown) =>
  typeof arg === 'function' || (typeof arg === 'object' && arg !== null && 'closure' in arg);

function* lazily<T>(values: Iterable<unknown>, each: (value: unknown) => T): Generator<T> {
  for (const value of values) yield each(value);
}

/** Sum of flags of several devices. */
function sumOn(device: string, flags: Iterable<Tensor>): Tensor {
  let sum: Tensor | undefined;
  for (const flag of flags) {
    const here = flag.to({ device, nonBlocking: true });
    sum = sum === undefined ? here : sum.add(here);
  }
  return sum ?? full([], 0, { dtype: 'float32', device });
}
