import { full } from '../tensor/creation.ts';
import { keep } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type GradScalerState, LossScale, type WindowVerdict } from './loss-scale.ts';
import type { ScaleRule } from './scale-rule.ts';
import { updateScale_ } from './unscale.ts';

/** PyTorch's rule, perhaps with a floor, on LibTorch's own kernel: scale and tracker stay on the device, the host reads nothing. */
export class KernelLossScale extends LossScale {
  override growthFactor: number;
  override backoffFactor: number;
  private interval: number;
  /** Until the first `on()` tells the device, scale and tracker are these numbers. */
  private initial: { scale: number; tracker: number };
  private tracker: Tensor | undefined;
  private readonly rule: ScaleRule;

  constructor(rule: ScaleRule) {
    super();
    this.rule = rule;
    this.initial = { scale: rule.init, tracker: 0 };
    this.growthFactor = rule.growthFactor;
    this.backoffFactor = rule.backoffFactor;
    this.interval = rule.growthInterval;
  }

  protected override get initialScale(): number {
    return this.initial.scale;
  }

  override get growthInterval(): number {
    return this.interval;
  }

  override set growthInterval(interval: number) {
    this.interval = interval;
    this.limitTracker();
  }

  override on(device: string): Tensor {
    this.tracker ??= keep(full([], this.initial.tracker, { dtype: 'int32', device }));
    return super.on(device);
  }

  override value(): number {
    // HOST SYNC: asked for by the caller.
    return this.scale === undefined ? this.initial.scale : Number(this.scale.item());
  }

  override trackerValue(): number {
    // HOST SYNC: asked for by the caller.
    return this.tracker === undefined ? this.initial.tracker : Number(this.tracker.item());
  }

  /** Backs off after an overflow, else counts towards the next growth. */
  override adapt(verdict: WindowVerdict): void {
    const { growthFactor, backoffFactor, interval } = this;
    updateScale_(this.scale!, this.tracker!, verdict.onDevice(), growthFactor, backoffFactor, interval);
    if (this.rule.floor !== null) this.scale!.clamp_(this.rule.floor);
  }

  override stateDict(): GradScalerState {
    const { rule, growthFactor, backoffFactor, interval: growthInterval } = this;
    return {
      scale: this.value(),
      growth_factor: growthFactor,
      backoff_factor: backoffFactor,
      growth_interval: growthInterval,
      _growth_tracker: this.trackerValue(),
      ...(rule.floor === null ? {} : { rule: { ...rule, growthFactor, backoffFactor, growthInterval } }),
    };
  }

  override loadStateDict(state: GradScalerState): void {
    this.initial = { scale: state.scale, tracker: state._growth_tracker };
    this.scale?.fill_(state.scale);
    this.tracker?.fill_(state._growth_tracker);
    this.growthFactor = state.growth_factor;
    this.backoffFactor = state.backoff_factor;
    this.growthInterval = state.growth_interval;
  }

  /** The scale grows when the tracker equals the interval: a tracker at or beyond a new one would never. */
  private limitTracker(): void {
    const highest = this.interval - 1;
    if (highest < 0) return;
    this.initial.tracker = Math.min(this.initial.tracker, highest);
    this.tracker?.clamp_(null, highest);
  }
}
