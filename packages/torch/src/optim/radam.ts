import {
  foreachAdd_,
  foreachAddcdiv_,
  foreachAddcmul_,
  foreachAddScalar_,
  foreachDiv_,
  foreachLerp_,
  foreachMul_,
  foreachMulScalar_,
  foreachSqrt,
} from '../ops/foreach.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  biasCorrection,
  checkBetas,
  countsOf,
  type DecayedGroup,
  ListOptimizer,
  powerOf,
  type StepLists,
} from './list-optimizer.ts';
import type { ParamsInput } from './optimizer.ts';

export interface RAdamGroup extends DecayedGroup {
  betas: [number, number];
  eps: number;
  decoupledWeightDecay: boolean;
}

export type RAdamOptions = Partial<Omit<RAdamGroup, 'params'>>;

// Of a second moment: with fewer degrees of freedom its variance is not to be had.
const TRUSTED = 5;

/** Adam whose second moment counts once its variance is known (arXiv 1908.03265; torch.optim.RAdam). */
export class RAdam extends ListOptimizer<RAdamGroup> {
  constructor(params: ParamsInput<RAdamGroup>, options: RAdamOptions = {}) {
    super(params, {
      lr: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      maximize: false,
      foreach: null,
      decoupledWeightDecay: false,
      ...options,
    });
  }

  protected override validate(group: RAdamGroup): void {
    super.validate(group);
    checkBetas(group.betas, group.eps);
  }

  protected override remembered(): readonly string[] {
    return ['expAvg', 'expAvgSq'];
  }

  protected override apply(group: RAdamGroup, { params, grads, state }: StepLists): void {
    const [beta1, beta2] = group.betas;
    const [steps, averages, squares] = ['step', 'expAvg', 'expAvgSq'].map(state);
    foreachAddScalar_(steps!, 1);
    foreachLerp_(averages!, grads, 1 - beta1);
    foreachMulScalar_(squares!, beta2);
    foreachAddcmul_(squares!, grads, grads, 1 - beta2);
    const count = countsOf(steps!);
    const { trusted, rectification } = rectify(beta2, count);
    // Where the second moment is not trusted the denominator is 1.
    const denominators = foreachSqrt(squares!);
    foreachAddScalar_(denominators, group.eps);
    foreachMul_(denominators, trusted.unbind());
    foreachAdd_(denominators, trusted.neg().add(1).unbind(), { alpha: 1 });
    foreachDiv_(denominators, rectification.div(biasCorrection(beta1, count)).unbind());
    foreachAddcdiv_(params, averages!, denominators, -group.lr);
  }
}

/** Whether (1 or 0) the second moment after so many steps is trusted, and the factor on the step then. */
function rectify(beta2: number, count: Tensor): { trusted: Tensor; rectification: Tensor } {
  const most = 2 / (1 - beta2) - 1;
  const correction = biasCorrection(beta2, count);
  const length = count.mul(2).mul(powerOf(beta2, count)).div(correction).neg().add(most);
  const trusted = length.gt(TRUSTED).to('float64');
  const ratio = length
    .sub(4)
    .mul(length.sub(2))
    .mul(most / ((most - 4) * (most - 2)))
    .div(length);
  // Clamped for the root of those that are not trusted, which do not count.
  const factor = ratio.clamp(0).sqrt().mul(correction.sqrt());
  return { trusted, rectification: factor.mul(trusted).add(trusted.neg().add(1)) };
}
