import {
  foreachAbs,
  foreachAddcdiv_,
  foreachAddScalar_,
  foreachLerp_,
  foreachMaximum_,
  foreachMul,
  foreachMulScalar_,
} from '../ops/foreach.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  biasCorrection,
  checkBetas,
  countsOf,
  type DecayedGroup,
  ListOptimizer,
  type StepLists,
} from './list-optimizer.ts';
import type { ParamsInput } from './optimizer.ts';

export interface AdamaxGroup extends DecayedGroup {
  betas: [number, number];
  eps: number;
}

export type AdamaxOptions = Partial<Omit<AdamaxGroup, 'params'>>;

/** Adam with the largest gradient in place of the second moment (arXiv 1412.6980, section 7; torch.optim.Adamax). */
export class Adamax extends ListOptimizer<AdamaxGroup> {
  constructor(params: ParamsInput<AdamaxGroup>, options: AdamaxOptions = {}) {
    super(params, {
      lr: 2e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      maximize: false,
      foreach: null,
      ...options,
    });
  }

  protected override validate(group: AdamaxGroup): void {
    super.validate(group);
    checkBetas(group.betas, group.eps);
  }

  protected override remembered(): readonly string[] {
    return ['expAvg', 'expInf'];
  }

  protected override apply({ betas: [beta1, beta2], eps, lr }: AdamaxGroup, lists: StepLists): void {
    const [steps, averages, largest] = ['step', 'expAvg', 'expInf'].map(lists.state) as Lists;
    foreachAddScalar_(steps, 1);
    foreachLerp_(averages, lists.grads, 1 - beta1);
    foreachMulScalar_(largest, beta2);
    const sizes = foreachAbs(lists.grads);
    foreachAddScalar_(sizes, eps);
    foreachMaximum_(largest, sizes);
    const denominators = foreachMul(largest, biasCorrection(beta1, countsOf(steps)).unbind());
    foreachAddcdiv_(lists.params, averages, denominators, -lr);
  }
}

type Lists = [steps: Tensor[], averages: Tensor[], largest: Tensor[]];
