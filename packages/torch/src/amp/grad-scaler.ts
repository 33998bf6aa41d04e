import { isAvailable as cudaIsAvailable } from '../cuda/device.ts';
import type { ProcessGroup } from '../distributed/group.ts';
import type { RemovableHandle } from '../removable-handle.ts';
import { full } from '../tensor/creation.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { warn } from '../warning.ts';
import { largestEverywhere, raiseEverywhere } from './agreement.ts';
import { AmpError } from './errors.ts';
import type { GradScalerOptions } from './grad-scaler-options.ts';
import { KernelLossScale } from './kernel-loss-scale.ts';
import { type GradientSource, LargestGradient } from './largest-gradient.ts';
import type { GradScalerState, LossScale } from './loss-scale.ts';
import { isClosure, overflowed, type Progress, type ScaledOptimizer, sumOn } from './optimizer-progress.ts';
import { RuleLossScale } from './rule-loss-scale.ts';
import { type Scalable, scaleOutputs } from './scale-outputs.ts';
import { checkRule, isKernelRule, type ScaleRule, TORCH_RULE } from './scale-rule.ts';
import { noteBfloat16 } from './scaler-need.ts';
import type { AutocastDevice } from './state.ts';
import { unscaleGrads } from './unscale-grads.ts';

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
  private lossScale: LossScale;
  private readonly largest = new LargestGradient();
  private culprits: { names: readonly string[]; ranks: readonly number[] } = { names: [], ranks: [] };
  private group: ProcessGroup | undefined;
  private readonly progress = new Map<object, Progress>();
  private readonly lastSkips = new WeakMap<object, boolean | null>();

  /**
   * @throws AmpError ASSERTION when growthFactor ≤ 1 or backoffFactor ≥ 1, VALUE for another rule that makes
   *   no sense
   */
  constructor(options: GradScalerOptions = {}) {
    const { rule: base = TORCH_RULE } = options;
    const {
      initScale: init = base.init,
      growthFactor = base.growthFactor,
      backoffFactor = base.backoffFactor,
      growthInterval = base.growthInterval,
    } = options;
    const rule: ScaleRule = { ...base, init, growthFactor, backoffFactor, growthInterval };
    const { device = cudaIsAvailable() ? 'cuda' : 'cpu', enabled = true } = options;
    this.device = device;
    this.group = options.processGroup;
    this.enabled = enabled && (device !== 'cuda' || cudaIsAvailable());
    this.lossScale = this.enabled ? lossScaleOf(rule) : new KernelLossScale(rule);
    if (enabled && !this.enabled) {
      warn(
        'CUDA_UNAVAILABLE',
        'torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.',
      );
    }
    if (!this.enabled || this.lossScale instanceof RuleLossScale) return;
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
    noteBfloat16(this, outputs);
    return scaleOutputs(outputs, (device) => this.lossScale.on(device));
  }

  /**
   * Divides the optimizer's gradients by the scale, so that they can be clipped or read, and notes whether
   * they are finite. Once per optimizer and update; `step` does it otherwise.
   * @throws AmpError RUNTIME when called twice or after `step`, ASSERTION before any `scale`, VALUE for fp16
   *   gradients
   */
  unscale_(optimizer: ScaledOptimizer): void {
    if (!this.enabled) return;
    this.lossScale.require('unscale_');
    const progress = this.progressOf(optimizer);
    if (progress.stage === 'unscaled') {
      throw new AmpError(
        'RUNTIME',
        'unscale_() has already been called on this optimizer since the last update().',
      );
    }
    if (progress.stage === 'stepped')
      throw new AmpError('RUNTIME', 'unscale_() is being called after step().');
    progress.foundInf = unscaleGrads(optimizer, () => this.inverseScale('unscale_'), false);
    raiseEverywhere(progress.foundInf.values(), this.group);
    progress.stage = 'unscaled';
    if (this.computed) this.largest.measure(optimizer, 1);
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
   *   that is not one number without gradient on the scaler's device; ScaleFloorError under a rule that
   *   raises at its floor (the iteration has ended all the same)
   */
  update(newScale?: number | Tensor): void {
    if (!this.enabled) return;
    const scale = this.lossScale.require('update');
    const met = [...this.progress.values()];
    const flags = met.flatMap(({ foundInf }) => [...foundInf.values()]);
    if (newScale === undefined && flags.length === 0)
      throw new AmpError('ASSERTION', 'No inf checks were recorded prior to update.');
    const { culprits } = this;
    try {
      if (newScale !== undefined) this.lossScale.replace(newScale, this.device);
      else {
        scope(() =>
          this.lossScale.adapt({
            onDevice: () => sumOn(scale.device, flags),
            onHost: () => ({
              overflow: met.some(overflowed),
              largest: this.agreed(this.largest.take(this.getScale())),
              culprits,
            }),
          }),
        );
      }
    } finally {
      for (const flag of flags) flag.dispose();
      this.progress.clear();
      this.culprits = { names: [], ranks: [] };
    }
  }

  // --- what a computed scale goes by ---------------------------------------------------------------------

  /**
   * Tells the largest |gradient| after unscaling of this iteration, over the parameters that `producesHalf`
   * names; before `update`. Only a computed scale goes by it, and `unscale_` measures it too.
   */
  noteLargest(value: number): void {
    this.largest.note(value);
  }

  /** Tells the parameters whose gradients overflowed, and on which ranks, for the error at the floor; before `update`. */
  noteCulprits(names: readonly string[], ranks: readonly number[] = []): void {
    this.culprits = { names, ranks };
  }

  /** Says which parameters get their gradients in fp16; null: all of them, as in the beginning. */
  watch(parameters: Iterable<Tensor> | null): void {
    this.largest.watch(parameters);
  }

  /** Whether this parameter's gradient counts for a computed scale. */
  producesHalf(parameter: Tensor): boolean {
    return this.largest.watches(parameter);
  }

  /** Asks `source` at each `update` under a rule that is advanced on the host. */
  attach(source: GradientSource): RemovableHandle {
    return this.largest.attach(source);
  }

  /**
   * Sets a computed scale by a largest |gradient| measured without a scale, before the first step; in a group by
   * the largest of all ranks, each of which must call it.
   * @throws AmpError VALUE under another rule, or for what is no finite number above 0
   */
  calibrate(largest: number): void {
    if (!this.enabled) return;
    if (!(this.lossScale instanceof RuleLossScale) || this.lossScale.kind !== 'computed') {
      throw new AmpError('VALUE', 'calibrate: only a computed scale is set by the largest gradient');
    }
    const agreed = this.agreed(largest) ?? 0;
    if (!Number.isFinite(agreed) || agreed <= 0) {
      throw new AmpError('VALUE', `calibrate: the gradient must be finite and above 0, not ${agreed}`);
    }
    this.lossScale.calibrate(agreed);
  }

  /** Whether the scale is computed from the largest gradient. */
  get computed(): boolean {
    return this.lossScale instanceof RuleLossScale && this.lossScale.kind === 'computed';
  }

  /** Whether `update` reads the verdict: every rule but PyTorch's is advanced on the host. */
  get advancesOnHost(): boolean {
    return this.enabled && this.lossScale instanceof RuleLossScale;
  }

  /** The current scale; 1 when disabled. Makes the host wait for the device. */
  getScale(): number {
    return this.enabled ? this.lossScale.value() : 1;
  }

  /** Steps without overflow since the scale last changed; a host wait. */
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
   * Takes over what `stateDict` gave, its rule included; does nothing when disabled.
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
    const saved = state as GradScalerState;
    if (saved.rule === undefined) {
      this.lossScale.loadStateDict(saved);
      return;
    }
    // A rule saved before one of its fields was there goes on without what that field does.
    const rule = { ...TORCH_RULE, ...saved.rule };
    this.lossScale = this.lossScale.replacedBy(lossScaleOf(rule));
    this.lossScale.loadStateDict({ ...saved, rule });
  }

  // --- for TrainingStep, which unscales by itself --------------------------------------------------------

  /**
   * 1/scale in float32, computed in float64 because a reciprocal in float32 would round twice.
   * @internal
   */
  inverseScale(caller: string): Tensor {
    return this.lossScale.require(caller).double().reciprocal().float();
  }

  /**
   * From now on agrees with a group, unless it was made for one.
   * @internal
   */
  join(group: ProcessGroup): void {
    this.group ??= group;
  }

  /**
   * Records the outcome of a step taken elsewhere; `foundInf` becomes this object's.
   * @internal
   */
  settle(optimizer: ScaledOptimizer, foundInf: Tensor, skipped: boolean | null): void {
    const progress = this.progressOf(optimizer);
    progress.foundInf = new Map([[foundInf.device, keep(foundInf)]]);
    progress.stage = 'stepped';
    if (skipped !== null) progress.overflow = skipped;
    this.lastSkips.set(optimizer, skipped);
  }

  private agreed(largest: number | null): number | null {
    return this.computed ? largestEverywhere(largest, this.group) : largest;
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
    const overflow = overflowed(progress);
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
        raiseEverywhere(progress.foundInf.values(), this.group);
        optimizer.gradScale = optimizer.gradScale === undefined ? scale : scale.mul(optimizer.gradScale);
        if (this.computed) this.largest.measure(optimizer, this.getScale());
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

/** @throws AmpError VALUE for a rule that makes no sense, where PyTorch's own checks do not see it */
function lossScaleOf(rule: ScaleRule): LossScale {
  if (!isKernelRule(rule)) return new RuleLossScale(rule);
  if (rule.floor !== null) checkRule(rule);
  return new KernelLossScale(rule);
}
