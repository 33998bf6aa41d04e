import type { Tensor } from '../tensor/tensor.ts';
import { ScaleFloorError } from './errors.ts';
import { type GradScalerState, LossScale, type WindowVerdict } from './loss-scale.ts';
import { advance, calibrated, checkRule, type ScaleRule, type ScaleState, startOf } from './scale-rule.ts';

/** A scale that any rule moves. The host knows it, so the device holds only a copy for the loss. */
export class RuleLossScale extends LossScale {
  private rule: ScaleRule;
  private state: ScaleState;

  /** @throws AmpError VALUE for a rule that makes no sense */
  constructor(rule: ScaleRule) {
    super();
    checkRule(rule);
    this.rule = rule;
    this.state = startOf(rule);
  }

  get kind(): ScaleRule['kind'] {
    return this.rule.kind;
  }

  protected override get initialScale(): number {
    return this.state.scale;
  }

  override get growthFactor(): number {
    return this.rule.growthFactor;
  }

  override set growthFactor(growthFactor: number) {
    this.change({ growthFactor });
  }

  override get backoffFactor(): number {
    return this.rule.backoffFactor;
  }

  override set backoffFactor(backoffFactor: number) {
    this.change({ backoffFactor });
  }

  override get growthInterval(): number {
    return this.rule.growthInterval;
  }

  override set growthInterval(growthInterval: number) {
    this.change({ growthInterval });
  }

  override value(): number {
    return this.state.scale;
  }

  override trackerValue(): number {
    return this.state.tracker;
  }

  /** @throws ScaleFloorError for an overflow at the floor of a rule that raises; the state counts it */
  override adapt(verdict: WindowVerdict): void {
    const { overflow, largest, culprits } = verdict.onHost();
    const { state, change } = advance(this.rule, this.state, { overflow, largest });
    this.become(state);
    if (change === 'at floor' && this.rule.raiseAtFloor) {
      throw new ScaleFloorError(state.scale, culprits.names, culprits.ranks);
    }
  }

  /** Takes over the scale that a measured largest gradient calls for. */
  calibrate(largest: number): void {
    this.become(calibrated(this.rule, this.state, largest));
  }

  override replace(newScale: number | Tensor, device: string): void {
    super.replace(newScale, device);
    // HOST SYNC: for a tensor only.
    const scale = typeof newScale === 'number' ? Math.fround(newScale) : Number(this.scale!.item());
    this.state = { ...this.state, scale };
  }

  override stateDict(): GradScalerState {
    const { rule, state } = this;
    return {
      scale: state.scale,
      growth_factor: rule.growthFactor,
      backoff_factor: rule.backoffFactor,
      growth_interval: rule.growthInterval,
      _growth_tracker: state.tracker,
      rule: { ...rule },
      state: { ...state },
    };
  }

  /** A state of PyTorch's five fields moves the scale and keeps the rest of the rule. */
  override loadStateDict(saved: GradScalerState): void {
    const rule: ScaleRule = saved.rule ?? {
      ...this.rule,
      growthFactor: saved.growth_factor,
      backoffFactor: saved.backoff_factor,
      growthInterval: saved.growth_interval,
    };
    checkRule(rule);
    this.rule = rule;
    const state = saved.state ?? { scale: saved.scale, tracker: saved._growth_tracker };
    // The start is over where a state does not know of one.
    this.become({ ...startOf(rule), starting: 0, ...state });
  }

  private change(part: Partial<ScaleRule>): void {
    const rule = { ...this.rule, ...part };
    checkRule(rule);
    this.rule = rule;
  }

  private become(state: ScaleState): void {
    if (state.scale !== this.state.scale) this.scale?.fill_(state.scale);
    this.state = { ...state };
  }
}
