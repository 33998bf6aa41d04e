import * as foreach from './foreach.ts';
import { Optimizer, type OptimizerOptions, type Update } from './optimizer.ts';

export interface SGDOptions extends OptimizerOptions {
  momentum?: number;
  nesterov?: boolean;
}

/** Gradient descent by Keras's rule: the velocity holds the learning rate, v = μ·v - lr·g, w += v. */
export class SGD extends Optimizer {
  readonly momentum: number;
  readonly nesterov: boolean;

  constructor(options: SGDOptions = {}) {
    super(options, { learningRate: 0.01 }, ['momentum', 'nesterov']);
    this.momentum = options.momentum ?? 0;
    this.nesterov = options.nesterov ?? false;
  }

  protected override get slotNames(): readonly string[] {
    return this.momentum === 0 ? [] : ['momentum'];
  }

  protected override update({ variables, grads, learningRate, slot }: Update): void {
    if (this.momentum === 0) {
      foreach.add_(variables, grads, -learningRate);
      return;
    }
    const velocity = slot('momentum');
    foreach.mulScalar_(velocity, this.momentum);
    foreach.add_(velocity, grads, -learningRate);
    if (this.nesterov) foreach.add_(variables, grads, -learningRate);
    foreach.add_(variables, velocity, this.nesterov ? this.momentum : 1);
  }
}
