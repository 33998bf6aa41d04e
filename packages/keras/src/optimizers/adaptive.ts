import * as foreach from './foreach.ts';
import { Optimizer, type OptimizerOptions, type Update } from './optimizer.ts';

export interface RMSpropOptions extends OptimizerOptions {
  rho?: number;
  momentum?: number;
  epsilon?: number;
  centered?: boolean;
}

/** Gradients over the root of their running mean square plus epsilon (inside the root, unlike PyTorch). */
export class RMSprop extends Optimizer {
  readonly rho: number;
  readonly momentum: number;
  readonly epsilon: number;
  readonly centered: boolean;

  constructor(options: RMSpropOptions = {}) {
    super(options, { learningRate: 0.001 }, ['rho', 'momentum', 'epsilon', 'centered']);
    this.rho = options.rho ?? 0.9;
    this.momentum = options.momentum ?? 0;
    this.epsilon = options.epsilon ?? 1e-7;
    this.centered = options.centered ?? false;
  }

  protected override get slotNames(): readonly string[] {
    const own = [this.momentum > 0 ? 'momentum' : '', this.centered ? 'average_gradient' : ''];
    return ['velocity', ...own.filter(Boolean)];
  }

  protected override update({ variables, grads, learningRate, slot }: Update): void {
    const { rho, momentum, epsilon } = this;
    const velocity = slot('velocity');
    foreach.mulScalar_(velocity, rho);
    foreach.add_(velocity, foreach.mul(grads, grads), 1 - rho);
    const spread = foreach.addScalar(velocity, epsilon);
    if (this.centered) {
      const average = slot('average_gradient');
      foreach.mulScalar_(average, rho);
      foreach.add_(average, grads, 1 - rho);
      foreach.add_(spread, foreach.mul(average, average), -1);
    }
    const steps = foreach.div(foreach.mulScalar(grads, learningRate), foreach.sqrt(spread));
    if (momentum === 0) {
      foreach.add_(variables, steps, -1);
      return;
    }
    const moved = slot('momentum');
    foreach.mulScalar_(moved, momentum);
    foreach.add_(moved, steps);
    foreach.add_(variables, moved, -1);
  }
}

export interface AdagradOptions extends OptimizerOptions {
  /** Default 0.1. */
  initialAccumulatorValue?: number;
  epsilon?: number;
}

/** Gradients over the root of the sum of their squares. */
export class Adagrad extends Optimizer {
  protected override readonly slotNames = ['accumulator'];
  readonly initialAccumulatorValue: number;
  readonly epsilon: number;

  constructor(options: AdagradOptions = {}) {
    super(options, { learningRate: 0.001 }, ['initialAccumulatorValue', 'epsilon']);
    this.initialAccumulatorValue = options.initialAccumulatorValue ?? 0.1;
    this.epsilon = options.epsilon ?? 1e-7;
  }

  protected override slotStart(): number {
    return this.initialAccumulatorValue;
  }

  protected override update({ variables, grads, learningRate, slot }: Update): void {
    const sums = slot('accumulator');
    foreach.add_(sums, foreach.mul(grads, grads));
    const root = foreach.sqrt(foreach.addScalar(sums, this.epsilon));
    foreach.add_(variables, foreach.div(foreach.mulScalar(grads, learningRate), root), -1);
  }
}

export interface AdadeltaOptions extends OptimizerOptions {
  rho?: number;
  epsilon?: number;
}

/** Steps of the size of the steps so far, over that of the gradients. */
export class Adadelta extends Optimizer {
  protected override readonly slotNames = ['accumulated_grad', 'accumulated_delta_var'];
  readonly rho: number;
  readonly epsilon: number;

  constructor(options: AdadeltaOptions = {}) {
    super(options, { learningRate: 0.001 }, ['rho', 'epsilon']);
    this.rho = options.rho ?? 0.95;
    this.epsilon = options.epsilon ?? 1e-7;
  }

  protected override update({ variables, grads, learningRate, slot }: Update): void {
    const { rho } = this;
    const [gradients, deltas] = [slot('accumulated_grad'), slot('accumulated_delta_var')];
    const root = (sums: Parameters<typeof foreach.sqrt>[0]) =>
      foreach.sqrt(foreach.addScalar(sums, this.epsilon));
    foreach.mulScalar_(gradients, rho);
    foreach.add_(gradients, foreach.mul(grads, grads), 1 - rho);
    const steps = foreach.div(foreach.mul(root(deltas), grads), root(gradients));
    foreach.mulScalar_(deltas, rho);
    foreach.add_(deltas, foreach.mul(steps, steps), 1 - rho);
    foreach.add_(variables, steps, -learningRate);
  }
}
