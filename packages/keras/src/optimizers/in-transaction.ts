import { noGrad, optim, type Tensor } from '@mezzo/torch';
import { LossScaleOptimizer } from './loss-scale-optimizer.ts';
import type { Optimizer } from './optimizer.ts';

/** A Keras optimizer as the transaction of `TrainingStep` steps it; gradients come unscaled. */
export class InTransaction extends optim.Optimizer {
  readonly #optimizer: Optimizer;
  readonly #variables: readonly Tensor[];

  constructor(optimizer: Optimizer, variables: readonly Tensor[]) {
    super(variables, { lr: 0 });
    this.#optimizer = optimizer instanceof LossScaleOptimizer ? optimizer.innerOptimizer : optimizer;
    this.#variables = variables;
  }

  override step<R = undefined>(): R | undefined {
    noGrad(() =>
      this.#optimizer.apply(
        this.#variables.map(({ grad }) => grad),
        this.#variables,
      ),
    );
    this.stepCalled = true;
    return undefined;
  }

  protected override update(): void {}
  protected override validate(): void {}
}
