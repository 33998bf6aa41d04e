import { SCALE_RULES } from '@mezzo/precision';
import { full, GradScaler, noGrad, scope, stack, type Tensor } from '@mezzo/torch';
import { device } from '../config.ts';
import { checkOptions } from '../errors.ts';
import { Optimizer } from './optimizer.ts';

export interface LossScaleOptions {
  /** Default 2^15. */
  initialScale?: number;
  /** Steps in a row without overflow after which the scale doubles. Default 2000. */
  dynamicGrowthSteps?: number;
}

/**
 * Dynamic loss scaling around another optimizer (keras.optimizers.LossScaleOptimizer), on Mezzo's loss-scale engine:
 * - the loss is multiplied by the scale before the backward pass, the gradients are divided by it;
 * - a gradient that is not finite leaves the step out and halves the scale;
 * - after `dynamicGrowthSteps` steps without one the scale doubles.
 *
 * Start high: a scale that is too high comes down far faster than one that is too low rises.
 */
export class LossScaleOptimizer extends Optimizer {
  readonly innerOptimizer: Optimizer;
  /** Carries the rule out; `fit` hands it to the transaction. */
  readonly scaler: GradScaler;
  protected override readonly slotNames: readonly string[] = [];

  /** @throws KerasError UNKNOWN_ID for an unknown option; AmpError VALUE for a rule that makes no sense */
  constructor(innerOptimizer: Optimizer, options: LossScaleOptions = {}) {
    super({}, { learningRate: 0 });
    checkOptions('LossScaleOptimizer', options, ['initialScale', 'dynamicGrowthSteps']);
    this.innerOptimizer = innerOptimizer;
    this.scaler = new GradScaler({
      device: device().startsWith('cuda') ? 'cuda' : 'cpu',
      rule: SCALE_RULES.keras,
      initScale: options.initialScale,
      growthInterval: options.dynamicGrowthSteps,
    });
  }

  /** The scale of the next step. */
  get dynamicScale(): number {
    return this.scaler.getScale();
  }

  /** Steps without overflow since the scale last changed. */
  get stepCounter(): number {
    return this.scaler.getGrowthTracker();
  }

  override get iterations(): number {
    return this.innerOptimizer.iterations;
  }

  override get learningRate(): number {
    return this.innerOptimizer.learningRate;
  }

  override set learningRate(rate: number) {
    this.innerOptimizer.learningRate = rate;
  }

  override get slots(): ReadonlyMap<string, readonly Tensor[]> {
    return this.innerOptimizer.slots;
  }

  override scaleLoss(loss: Tensor): Tensor {
    return this.scaler.scale(loss);
  }

  override build(variables: readonly Tensor[]): void {
    this.innerOptimizer.build(variables);
  }

  /** Divides the gradients by the scale and steps, or leaves the step out; then adapts the scale. HOST SYNC. */
  override apply(grads: readonly (Tensor | null)[], variables?: readonly Tensor[] | null): void {
    scope(() =>
      noGrad(() => {
        const present = grads.filter((grad) => grad !== null);
        const place = present[0]?.device ?? device();
        const scale = this.scaler.scale(full([], 1, { device: place }));
        const finite =
          present.length === 0 ||
          stack(present.map((grad) => grad.isfinite().all()))
            .all()
            .item() === true;
        if (finite) {
          this.innerOptimizer.apply(
            grads.map((grad) => grad?.div(scale) ?? null),
            variables,
          );
        }
        this.scaler.settle(
          { paramGroups: [], step: () => undefined },
          full([], finite ? 0 : 1, { device: place }),
          !finite,
        );
        this.scaler.update();
      }),
    );
  }

  protected override update(): void {}
}
