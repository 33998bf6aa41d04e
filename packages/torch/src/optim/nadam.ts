import {
  foreachAddcdiv_,
  foreachAddcmul_,
  foreachAddScalar_,
  foreachDiv_,
  foreachLerp_,
  foreachMul,
  foreachMul_,
  foreachMulScalar_,
  foreachSqrt,
} from '../ops/foreach.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { OptimizerError } from './errors.ts';
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

export interface NAdamGroup extends DecayedGroup {
  betas: [number, number];
  eps: number;
  momentumDecay: number;
  decoupledWeightDecay: boolean;
}

export type NAdamOptions = Partial<Omit<NAdamGroup, 'params'>>;

// Of Dozat's momentum schedule.
const SCHEDULE_BASE = 0.96;

/** Adam with Nesterov's momentum (Dozat 2016, "Incorporating Nesterov momentum into Adam"; torch.optim.NAdam). */
export class NAdam extends ListOptimizer<NAdamGroup> {
  constructor(params: ParamsInput<NAdamGroup>, options: NAdamOptions = {}) {
    super(params, {
      lr: 2e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      momentumDecay: 4e-3,
      decoupledWeightDecay: false,
      maximize: false,
      foreach: null,
      ...options,
    });
  }

  protected override validate(group: NAdamGroup): void {
    super.validate(group);
    checkBetas(group.betas, group.eps);
    if (!(group.momentumDecay >= 0)) {
      throw new OptimizerError('VALUE', `Invalid momentum_decay value: ${group.momentumDecay}`);
    }
  }

  protected override remembered(): readonly string[] {
    return ['expAvg', 'expAvgSq'];
  }

  protected override scalars(): Readonly<Record<string, number>> {
    return { muProduct: 1 };
  }

  protected override apply(group: NAdamGroup, { params, grads, state }: StepLists): void {
    const { eps, lr, momentumDecay } = group;
    const [beta1, beta2] = group.betas;
    const [steps, averages, squares, products] = ['step', 'expAvg', 'expAvgSq', 'muProduct'].map(state);
    foreachAddScalar_(steps!, 1);
    const count = countsOf(steps!);
    const momentum = (ahead: number) =>
      powerOf(SCHEDULE_BASE, count.add(ahead).mul(momentumDecay)).mul(-0.5).add(1).mul(beta1);
    const [mu, next] = [momentum(0), momentum(1)];
    foreachMul_(products!, mu.unbind());
    foreachLerp_(averages!, grads, 1 - beta1);
    foreachMulScalar_(squares!, beta2);
    foreachAddcmul_(squares!, grads, grads, 1 - beta2);
    const denominators = foreachSqrt(squares!);
    foreachDiv_(denominators, biasCorrection(beta2, count).sqrt().unbind());
    foreachAddScalar_(denominators, eps);
    const product = countsOf(products!);
    const share = (weight: Tensor, all: Tensor) => weight.div(all.neg().add(1)).unbind();
    foreachAddcdiv_(params, foreachMul(grads, share(mu.neg().add(1), product)), denominators, -lr);
    foreachAddcdiv_(params, foreachMul(averages!, share(next, product.mul(next))), denominators, -lr);
  }
}
