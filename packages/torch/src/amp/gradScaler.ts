import { isAvailable as cudaIsAvailable } from '../cuda/device.ts';
import { full } from '../tensor/creation.ts';
import { TensorHandle } from '../tensor/handle.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { warn } from '../warning.ts';
import { AmpError } from './errors.ts';
import { Replicas } from './replicas.ts';
import type { AutocastDevice } from './state.ts';
import { updateScale_ } from './unscale.ts';
import { type HasParamGroups, unscaleGrads } from './unscaleGrads.ts';

export interface GradScalerOptions {
  /** Where the scale may come from with `update(tensor)`. Default: 'cuda' when there is a GPU, else 'cpu'. */
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

/** PyTorch's keys; {} from a disabled scaler. */
export interface GradScalerState {
  scale: number;
  growth_factor: number;
  backoff_factor: number;
  growth_interval: number;
  _growth_tracker: number;
}

/** Nested lists of tensors; other iterables become lazy ones. */
export type Scalable = Tensor | Iterable<Scalable>;

interface OptimizerStage {
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
  private growthFactor: number;
  private backoffFactor: number;
  private growthInterval: number;
  /** Until the first `scale()` tells the device, scale and tracker are these numbers. */
  private initScale: number;
  private initGrowthTracker = 0;
  private scaleTensor: Tensor | undefined;
  private growthTracker: Tensor | undefined;
  private stages = new Map<object, OptimizerStage>();
  private lastSkips = new WeakMap<object, boolean | null>();

  /** @throws AmpError ASSERTION when growthFactor ≤ 1 or backoffFactor ≥ 1 */
  constructor(options: GradScalerOptions = {}) {
    this.device = options.device ?? (cudaIsAvailable() ? 'cuda' : 'cpu');
    this.initScale = options.initScale ?? 65536;
    this.growthFactor = options.growthFactor ?? 2;
    this.backoffFactor = options.backoffFactor ?? 0.5;
    this.growthInterval = options.growthInterval ?? 2000;
    const enabled = options.enabled ?? true;
    this.enabled = enabled && (this.device !== 'cuda' || cudaIsAvailable());
    if (enabled && !this.enabled) {
      warn(
        'CUDA_UNAVAILABLE',
        'torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.',
      );
    }
    if (!this.enabled) return;
    if (this.growthFactor <= 1) throw new AmpError('ASSERTION', 'The growth factor must be > 1.0.');
    if (this.backoffFactor >= 1) throw new AmpError('ASSERTION', 'The backoff factor must be < 1.0.');
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
        replicas ??= new Replicas(this.scaleOn(value.device));
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
    const scale = this.requireScale('unscale_');
    const state = this.stageOf(optimizer);
    if (state.stage === 'unscaled') {
      throw new AmpError(
        'RUNTIME',
        'unscale_() has already been called on this optimizer since the last update().',
      );
    }
    if (state.stage === 'stepped') throw new AmpError('RUNTIME', 'unscale_() is being called after step().');
    // float64, because the reciprocal in float32 would round twice.
    state.foundInf = unscaleGrads(optimizer, () => scale.double().reciprocal().float(), false);
    state.stage = 'unscaled';
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
    this.requireScale('step');
    const state = this.stageOf(optimizer);
    if (state.stage === 'stepped') {
      throw new AmpError('RUNTIME', 'step() has already been called since the last update().');
    }
    const handsOver = optimizer.stepSupportsAmpScaling === true || optimizer.stepTakesGradScaler === true;
    return handsOver ? this.stepFused(optimizer, state, args) : this.stepChecked(optimizer, state, args);
  }

  /**
   * Whether the last `step` of this optimizer was left out. null when a fused optimizer decided on the device:
   * then compare `getScale()` (a host read), or undefined before the first step.
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
    const scale = this.requireScale('update');
    if (newScale === undefined) this.adaptScale(scale);
    else if (typeof newScale === 'number') scale.fill_(newScale);
    else this.copyScale(scale, newScale);
    for (const { foundInf } of this.stages.values()) for (const flag of foundInf.values()) flag.dispose();
    this.stages.clear();
  }

  /** The current scale; 1 when disabled. Makes the host wait for the device. */
  getScale(): number {
    if (!this.enabled) return 1;
    // HOST SYNC: asked for by the caller.
    return this.scaleTensor === undefined ? this.initScale : Number(this.scaleTensor.item());
  }

  /** Steps without overflow since the scale last changed. Makes the host wait for the device. */
  getGrowthTracker(): number {
    if (!this.enabled) return 0;
    // HOST SYNC: asked for by the caller.
    return this.growthTracker === undefined ? this.initGrowthTracker : Number(this.growthTracker.item());
  }

  getGrowthFactor(): number {
    return this.growthFactor;
  }

  setGrowthFactor(factor: number): void {
    this.growthFactor = factor;
  }

  getBackoffFactor(): number {
    return this.backoffFactor;
  }

  setBackoffFactor(factor: number): void {
    this.backoffFactor = factor;
  }

  getGrowthInterval(): number {
    return this.growthInterval;
  }

  setGrowthInterval(interval: number): void {
    this.growthInterval = interval;
    this.limitTracker();
  }

  isEnabled(): boolean {
    return this.enabled;
  }

  /** Everything a checkpoint needs, in PyTorch's format; call it after `update`. {} when disabled. */
  stateDict(): GradScalerState | Record<string, never> {
    if (!this.enabled) return {};
    return {
      scale: this.getScale(),
      growth_factor: this.growthFactor,
      backoff_factor: this.backoffFactor,
      growth_interval: this.growthInterval,
      _growth_tracker: this.getGrowthTracker(),
    };
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
    const loaded = state as GradScalerState;
    this.initScale = loaded.scale;
    this.scaleTensor?.fill_(loaded.scale);
    this.growthFactor = loaded.growth_factor;
    this.backoffFactor = loaded.backoff_factor;
    this.growthInterval = loaded.growth_interval;
    this.initGrowthTracker = loaded._growth_tracker;
    this.growthTracker?.fill_(loaded._growth_tracker);
    this.limitTracker();
  }

  /** The scale grows when the tracker equals the interval: a tracker at or beyond a new one would never. */
  private limitTracker(): void {
    const highest = this.growthInterval - 1;
    if (highest < 0) return;
    this.initGrowthTracker = Math.min(this.initGrowthTracker, highest);
    this.growthTracker?.clamp_(null, highest);
  }

  private scaleOn(device: string): Tensor {
    this.scaleTensor ??= keep(full([], this.initScale, { dtype: 'float32', device }));
    this.growthTracker ??= keep(full([], this.initGrowthTracker, { dtype: 'int32', device }));
    return this.scaleTensor;
  }

  private requireScale(caller: string): Tensor {
    if (this.scaleTensor !== undefined) return this.scaleTensor;
    throw new AmpError(
      'ASSERTION',
      `Attempted ${caller} but _scale is None.  This may indicate your script did not use ` +
        'scaler.scale(loss or outputs) earlier in the iteration.',
    );
  }

  private stageOf(optimizer: object): OptimizerStage {
    let state = this.stages.get(optimizer);
    if (state === undefined) {
      state = { stage: 'ready', foundInf: new Map() };
      this.stages.set(optimizer, state);
    }
    return state;
  }

  private stepChecked<A extends unknown[], R>(
    optimizer: ScaledOptimizer<A, R>,
    state: OptimizerStage,
    args: A,
  ): R | undefined {
    if (state.stage === 'ready') this.unscale_(optimizer);
    if (state.foundInf.size === 0) {
      throw new AmpError('ASSERTION', 'No inf checks were recorded for this optimizer.');
    }
    // HOST SYNC: the one of a step; one flag per device that holds gradients.
    const overflow = [...state.foundInf.values()].some((flag) => flag.item() !== 0);
    const result = overflow ? undefined : optimizer.step(...args);
    if (overflow) optimizer.stepCalled = true;
    this.lastSkips.set(optimizer, overflow);
    state.stage = 'stepped';
    return result;
  }

  /** The optimizer's kernels unscale and skip by themselves: nothing is read here. */
  private stepFused<A extends unknown[], R>(
    optimizer: ScaledOptimizer<A, R>,
    state: OptimizerStage,
    args: A,
  ): R {
    this.lastSkips.set(optimizer, null);
    if (optimizer.stepTakesGradScaler === true) {
      warn(
        'DEPRECATED',
        'GradScaler is going to stop passing itself as a keyword argument to the passed ' +
          'optimizer. In the near future GradScaler registers `grad_scale: Tensor` and ' +
          '`found_inf: Tensor` to the passed optimizer and let the optimizer use them directly.',
      );
      const result = optimizer.step(...([...args, { gradScaler: this }] as unknown as A));
      state.stage = 'stepped';
      return result;
    }
    return scope(() => {
      const scale = this.scaleTensor!;
      if (state.stage === 'ready') {
        state.foundInf = unscaleGrads(optimizer, () => full([], 1, { device: scale.device }), true);
      }
      const own = optimizer.gradScale;
      optimizer.foundInf = this.combined(state.foundInf.values(), scale.device);
      if (state.stage === 'ready') optimizer.gradScale = own === undefined ? scale : scale.mul(own);
      try {
        const result = optimizer.step(...args);
        state.stage = 'stepped';
        return result;
      } finally {
        delete optimizer.gradScale;
        delete optimizer.foundInf;
      }
    });
  }

  private adaptScale(scale: Tensor): void {
    const flags = [...this.stages.values()].flatMap(({ foundInf }) => [...foundInf.values()]);
    if (flags.length === 0) throw new AmpError('ASSERTION', 'No inf checks were recorded prior to update.');
    scope(() => {
      const overflow = this.combined(flags, scale.device);
      updateScale_(
        scale,
        this.growthTracker!,
        overflow,
        this.growthFactor,
        this.backoffFactor,
        this.growthInterval,
      );
    });
  }

  /** Sum of the flags on one device. */
  private combined(flags: Iterable<Tensor>, device: string): Tensor {
    let sum: Tensor | undefined;
    for (const flag of flags) {
      const here = flag.to({ device, nonBlocking: true });
      sum = sum === undefined ? here : sum.add(here);
    }
    return sum ?? full([], 0, { dtype: 'float32', device });
  }

  private copyScale(scale: Tensor, newScale: Tensor): void {
    const fits =
      newScale.device.startsWith(this.device) && newScale.numel() === 1 && !newScale.requiresGrad;
    if (!fits) {
      throw new AmpError(
        'ASSERTION',
        'new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor ' +
          'with requires_grad=False.',
      );
    }
    scope(() => {
      scale.copy_(newScale.reshape([]));
    });
  }
}

const isClosure = (arg: unknown) =>
  typeof arg === 'function' || (typeof arg === 'object' && arg !== null && 'closure' in arg);

function* lazily<T>(values: Iterable<unknown>, each: (value: unknown) => T): Generator<T> {
  for (const value of values) yield each(value);
}
