import { full } from '../tensor/creation.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { AmpError } from './errors.ts';
import { updateScale_ } from './unscale.ts';

/** A GradScaler's checkpoint, under PyTorch's keys. */
export interface GradScalerState {
  scale: number;
  growth_factor: number;
  backoff_factor: number;
  growth_interval: number;
  _growth_tracker: number;
}

/** The scale and how it moves: two scalars beside the loss, made when its device is known. */
export class LossScale {
  growthFactor: number;
  backoffFactor: number;
  private interval: number;
  /** Until the first `on()` tells the device, scale and tracker are these numbers. */
  private initial: { scale: number; tracker: number };
  private scale: Tensor | undefined;
  private tracker: Tensor | undefined;

  constructor(initScale: number, growthFactor: number, backoffFactor: number, growthInterval: number) {
    this.initial = { scale: initScale, tracker: 0 };
    this.growthFactor = growthFactor;
    this.backoffFactor = backoffFactor;
    this.interval = growthInterval;
  }

  get growthInterval(): number {
    return this.interval;
  }

  set growthInterval(interval: number) {
    this.interval = interval;
    this.limitTracker();
  }

  /** The scale; the first call puts it on that device for good. */
  on(device: string): Tensor {
    this.scale ??= keep(full([], this.initial.scale, { dtype: 'float32', device }));
    this.tracker ??= keep(full([], this.initial.tracker, { dtype: 'int32', device }));
    return this.scale;
  }

  /** @throws AmpError ASSERTION before the first `on()` */
  require(caller: string): Tensor {
    if (this.scale !== undefined) return this.scale;
    throw new AmpError(
      'ASSERTION',
      `Attempted ${caller} but _scale is None.  This may indicate your script did not use ` +
        'scaler.scale(loss or outputs) earlier in the iteration.',
    );
  }

  value(): number {
    // HOST SYNC: asked for by the caller.
    return this.scale === undefined ? this.initial.scale : Number(this.scale.item());
  }

  trackerValue(): number {
    // HOST SYNC: asked for by the caller.
    return this.tracker === undefined ? this.initial.tracker : Number(this.tracker.item());
  }

  /** Backs off when `foundInf` is not 0, else counts towards the next growth. */
  adapt(foundInf: Tensor): void {
    const { growthFactor, backoffFactor, interval } = this;
    updateScale_(this.scale!, this.tracker!, foundInf, growthFactor, backoffFactor, interval);
  }

  /**
   * Replaces the scale by a copy.
   * @throws AmpError ASSERTION unless a tensor is one number without gradient on that kind of device
   */
  replace(newScale: number | Tensor, device: string): void {
    if (typeof newScale === 'number') {
      this.scale!.fill_(newScale);
      return;
    }
    if (!newScale.device.startsWith(device) || newScale.numel() !== 1 || newScale.requiresGrad) {
      throw new AmpError(
        'ASSERTION',
        'new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor ' +
          'with requires_grad=False.',
      );
    }
    scope(() => {
      this.scale!.copy_(newScale.reshape([]));
    });
  }

  stateDict(): GradScalerState {
    return {
      scale: this.value(),
      growth_factor: this.growthFactor,
      backoff_factor: this.backoffFactor,
      growth_interval: this.interval,
      _growth_tracker: this.trackerValue(),
    };
  }

  loadStateDict(state: GradScalerState): void {
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
