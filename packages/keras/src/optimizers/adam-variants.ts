import { power } from './adam.ts';
import * as foreach from './foreach.ts';
import { Optimizer, type OptimizerOptions, type Update } from './optimizer.ts';

export interface MomentOptions extends OptimizerOptions {
  beta1?: number;
  beta2?: number;
  epsilon?: number;
}

const f = Math.fround;
const OWN = ['beta1', 'beta2', 'epsilon'] as const;

/** Adam with the largest recent |gradient| in place of the mean square. */
export class Adamax extends Optimizer {
  protected override readonly slotNames = ['momentum', 'norm'];
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;

  constructor(options: MomentOptions = {}) {
    super(options, { learningRate: 0.001 }, OWN);
    this.beta1 = options.beta1 ?? 0.9;
    this.beta2 = options.beta2 ?? 0.999;
    this.epsilon = options.epsilon ?? 1e-7;
  }

  protected override update({ variables, grads, learningRate, step, slot }: Update): void {
    const [m, u] = [slot('momentum'), slot('norm')];
    foreach.mulScalar_(m, this.beta1);
    foreach.add_(m, grads, 1 - this.beta1);
    foreach.mulScalar_(u, this.beta2);
    foreach.maximum_(u, foreach.abs(grads));
    const divisor = foreach.mulScalar(foreach.addScalar(u, this.epsilon), f(1 - power(this.beta1, step)));
    foreach.add_(variables, foreach.div(foreach.mulScalar(m, learningRate), divisor), -1);
  }
}

/** Adam with Nesterov's momentum, whose share grows as 1 - 0.96^t / 2. */
export class Nadam extends Optimizer {
  protected override readonly slotNames = ['momentum', 'velocity'];
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Product of the momentum's shares so far. */
  #product = 1;

  constructor(options: MomentOptions = {}) {
    super(options, { learningRate: 0.001 }, OWN);
    this.beta1 = options.beta1 ?? 0.9;
    this.beta2 = options.beta2 ?? 0.999;
    this.epsilon = options.epsilon ?? 1e-7;
  }

  protected override update({ variables, grads, learningRate, step, slot }: Update): void {
    const { beta1, beta2 } = this;
    const share = (n: number) => f(f(beta1) * f(1 - f(0.5 * power(0.96, n))));
    const [now, next] = [share(step), share(step + 1)];
    this.#product = f(this.#product * now);
    const [m, v] = [slot('momentum'), slot('velocity')];
    foreach.mulScalar_(m, beta1);
    foreach.add_(m, grads, 1 - beta1);
    foreach.mulScalar_(v, beta2);
    foreach.add_(v, foreach.mul(grads, grads), 1 - beta2);
    const ahead = foreach.mulScalar(m, next / f(1 - f(this.#product * next)));
    foreach.add_(ahead, grads, f(1 - now) / f(1 - this.#product));
    const spread = foreach.sqrt(foreach.mulScalar(v, 1 / f(1 - power(beta2, step))));
    const steps = foreach.div(
      foreach.mulScalar(ahead, learningRate),
      foreach.addScalar(spread, this.epsilon),
    );
    foreach.add_(variables, steps, -1);
  }
}

/** The sign of a mean of gradient and momentum. */
export class Lion extends Optimizer {
  protected override readonly slotNames = ['momentum'];
  readonly beta1: number;
  readonly beta2: number;

  constructor(options: Omit<MomentOptions, 'epsilon'> = {}) {
    super(options, { learningRate: 0.001 }, ['beta1', 'beta2']);
    this.beta1 = options.beta1 ?? 0.9;
    this.beta2 = options.beta2 ?? 0.99;
  }

  protected override update({ variables, grads, learningRate, slot }: Update): void {
    const m = slot('momentum');
    const direction = foreach.mulScalar(m, this.beta1);
    foreach.add_(direction, grads, 1 - this.beta1);
    foreach.add_(variables, foreach.sign(direction), -learningRate);
    foreach.mulScalar_(m, this.beta2);
    foreach.add_(m, grads, 1 - this.beta2);
  }
}
