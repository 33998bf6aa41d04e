import * as foreach from './foreach.ts';
import { Optimizer, type OptimizerOptions, type Update } from './optimizer.ts';

export interface AdamOptions extends OptimizerOptions {
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  amsgrad?: boolean;
}

const f = Math.fround;

/** beta^step as float32 computes it. */
export const power = (beta: number, step: number): number => f(f(beta) ** step);

/**
 * Adam by Keras's rule: epsilon (1e-7) is added to √v before the correction of bias, which goes into the rate:
 * w -= lr·√(1-β₂ᵗ)/(1-β₁ᵗ) · m / (√v + ε). PyTorch adds its 1e-8 to the corrected √v.
 */
export class Adam extends Optimizer {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly amsgrad: boolean;

  constructor(options: AdamOptions = {}) {
    super(options, { learningRate: 0.001 }, ['beta1', 'beta2', 'epsilon', 'amsgrad']);
    this.beta1 = options.beta1 ?? 0.9;
    this.beta2 = options.beta2 ?? 0.999;
    this.epsilon = options.epsilon ?? 1e-7;
    this.amsgrad = options.amsgrad ?? false;
  }

  protected override get slotNames(): readonly string[] {
    return ['momentum', 'velocity', ...(this.amsgrad ? ['velocity_hat'] : [])];
  }

  protected override update({ variables, grads, learningRate, step, slot }: Update): void {
    const { beta1, beta2, epsilon } = this;
    const [m, v] = [slot('momentum'), slot('velocity')];
    const correction = f(Math.sqrt(f(1 - power(beta2, step))));
    const alpha = f(f(learningRate * correction) / f(1 - power(beta1, step)));
    foreach.mulScalar_(m, beta1);
    foreach.add_(m, grads, 1 - beta1);
    foreach.mulScalar_(v, beta2);
    foreach.add_(v, foreach.mul(grads, grads), 1 - beta2);
    let spread = v;
    if (this.amsgrad) {
      spread = slot('velocity_hat');
      foreach.maximum_(spread, v);
    }
    const divisor = foreach.addScalar(foreach.sqrt(spread), epsilon);
    foreach.add_(variables, foreach.div(foreach.mulScalar(m, alpha), divisor), -1);
  }
}

/** Adam with decoupled weight decay, 0.004 by default. */
export class AdamW extends Adam {
  constructor(options: AdamOptions = {}) {
    super({ weightDecay: 0.004, ...options });
  }
}
