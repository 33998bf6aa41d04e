import type { amp, nn } from '@mezzo/torch';
import { AppliedPlan } from './apply-plan.ts';
import { blameGradients } from './blame.ts';
import {
  advanceHealing,
  HEALING_DEFAULTS,
  HEALTHY,
  type HealingOptions,
  type HealingState,
  healingRules,
  type LayerDtypes,
  type Overflow,
  wantsEvidence,
} from './healing.ts';
import { locateOverflow } from './locate-overflow.ts';
import { type PlanChange, type PrecisionPlan, withRules } from './plan.ts';

/** A change of the plan, as loops report it. */
export interface PrecisionEvent extends PlanChange {
  readonly event: 'precision';
}

/** What a training step says of a window: the result of `TrainingStep.run`, or what `onWindow` tells. */
export type WindowOutcome = Pick<amp.StepResult, 'applied' | 'scale' | 'culprits'>;

/** Runs forward, loss and backward of the last batch again, the loss times `scale`. */
export type Replay = (scale: number) => void;

export interface AutoPrecisionOptions {
  /** The model in training. */
  model: nn.Module;
  /** Models with the same layers that follow the same plan: an average. */
  twins?: readonly nn.Module[];
  plan: PrecisionPlan;
  healing?: Partial<HealingOptions>;
}

/** Plain data, for checkpoints. */
export interface AutoPrecisionState {
  readonly healing: HealingState;
  readonly history: readonly PlanChange[];
}

/**
 * A plan that heals itself, for any training loop: layers that overflow again and again where a lower loss scale
 * does not help move to float32 (or bfloat16), and are tried in their planned dtype later.
 *
 * ```ts
 * const auto = new AutoPrecision({ model, plan: uniformPlan('float16') });
 * const result = step.run(() => loss(batch));
 * const replay = (scale: number) => loss(batch).mul(scale).backward();
 * for (const event of auto.afterWindow(result, replay)) log(event);
 * ```
 */
export class AutoPrecision {
  readonly #model: nn.Module;
  readonly #applied: readonly AppliedPlan[];
  readonly #given: PrecisionPlan;
  readonly #dtypes: LayerDtypes;
  readonly #options: HealingOptions;
  #state: AutoPrecisionState;

  /** @throws PlanError PLAN_MISMATCH for layers or operations that are not there */
  constructor({ model, twins = [], plan, healing = {} }: AutoPrecisionOptions) {
    this.#model = model;
    this.#given = plan;
    this.#options = { ...HEALING_DEFAULTS, ...healing };
    this.#state = { healing: HEALTHY, history: plan.history };
    this.#applied = [model, ...twins].map((each) => new AppliedPlan(each, plan));
    const planned = new Map([...this.#applied[0]!.layers].map(([name, { dtype }]) => [name, dtype]));
    this.#dtypes = {
      planned: (layer) => planned.get(layer)!,
      inForce: (layer) => this.applied.dtypeOf(layer)!,
    };
  }

  /** The plan in force, with what healing added and did. */
  get plan(): PrecisionPlan {
    return this.#planOf(this.#state);
  }

  /** The plan at work on the model in training. */
  get applied(): AppliedPlan {
    return this.#applied[0]!;
  }

  /**
   * Ends a window: counts overflows, and moves layers where it is time. Returns what changed, mostly nothing; for a
   * window that is still open or undecided (`applied` is null) nothing at all.
   * @param replay called at most once, and only after a skipped window; it leaves no trace on the model. Without it
   *   the gradients alone tell the layer.
   */
  afterWindow(result: WindowOutcome, replay?: Replay): PrecisionEvent[] {
    const { applied, scale } = result;
    if (applied === null) return [];
    const overflow = applied ? null : this.#locate(result, replay);
    const { healing, history } = this.#state;
    const next = advanceHealing(healing, { applied, scale, overflow }, this.#dtypes, this.#options);
    this.#goOn({ healing: next.state, history: [...history, ...next.changes] }, next.changes.length > 0);
    return next.changes.map((change) => ({ event: 'precision', ...change }));
  }

  state(): AutoPrecisionState {
    return structuredClone(this.#state);
  }

  /** Goes on from a saved state. @throws PlanError PLAN_MISMATCH when it is of another model */
  load(state: AutoPrecisionState): void {
    this.#goOn(structuredClone(state), true);
  }

  /** Takes the plan off all models. */
  remove(): void {
    for (const applied of this.#applied) applied.remove();
  }

  #locate({ scale, culprits }: WindowOutcome, replay: Replay | undefined): Overflow | null {
    if (!wantsEvidence(this.#state.healing, scale, this.#options)) return null;
    const located = replay === undefined ? null : locateOverflow(this.#model, () => replay(scale ?? 1));
    return located ?? blameGradients(this.#model, culprits);
  }

  #planOf({ healing, history }: AutoPrecisionState): PrecisionPlan {
    return { ...withRules(this.#given, healingRules(healing)), history };
  }

  #goOn(state: AutoPrecisionState, planChanged: boolean): void {
    const plan = this.#planOf(state);
    if (planChanged) for (const applied of this.#applied) applied.set(plan);
    this.#state = state;
  }
}
