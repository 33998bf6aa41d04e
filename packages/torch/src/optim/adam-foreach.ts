import {
  foreachAdd,
  foreachAddcdiv_,
  foreachAddcmul_,
  foreachAddScalar_,
  foreachDiv_,
  foreachLerp_,
  foreachMaximum_,
  foreachMul_,
  foreachMulScalar_,
  foreachNeg,
  foreachSqrt,
} from '../ops/foreach.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { AdamGroup } from './adam.ts';
import { biasCorrection, countsOf } from './list-optimizer.ts';

/** Parameters, gradients and state of one kernel call; `maxExpAvgSqs` is empty without amsgrad. */
export interface AdamLists {
  params: readonly Tensor[];
  grads: readonly Tensor[];
  expAvgs: readonly Tensor[];
  expAvgSqs: readonly Tensor[];
  maxExpAvgSqs: readonly Tensor[];
  steps: readonly Tensor[];
}

/** One step of Adam with list kernels, which take any strides. */
export function adamForeach(group: AdamGroup, lists: AdamLists): void {
  const { params, expAvgs, expAvgSqs, maxExpAvgSqs, steps } = lists;
  const [beta1, beta2] = group.betas;
  foreachAddScalar_(steps, 1);

  let grads = group.maximize ? foreachNeg(lists.grads) : lists.grads;
  if (group.weightDecay !== 0) {
    if (group.decoupledWeightDecay) foreachMulScalar_(params, 1 - group.lr * group.weightDecay);
    else grads = foreachAdd(grads, params, { alpha: group.weightDecay });
  }

  foreachLerp_(expAvgs, grads, 1 - beta1);
  foreachMulScalar_(expAvgSqs, beta2);
  foreachAddcmul_(expAvgSqs, grads, grads, 1 - beta2);
  if (group.amsgrad) foreachMaximum_(maxExpAvgSqs, expAvgSqs);

  const count = countsOf(steps);
  const bias1 = biasCorrection(beta1, count);
  const bias2 = biasCorrection(beta2, count).sqrt();
  const denominators = foreachSqrt(group.amsgrad ? maxExpAvgSqs : expAvgSqs);
  foreachDiv_(denominators, bias2.unbind());
  foreachAddScalar_(denominators, group.eps);
  foreachMul_(denominators, bias1.unbind());
  foreachAddcdiv_(params, expAvgs, denominators, -group.lr);
}
