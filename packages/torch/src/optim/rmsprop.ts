import {
  foreachAdd_,
  foreachAddcdiv_,
  foreachAddcmul,
  foreachAddcmul_,
  foreachAddScalar_,
  foreachLerp_,
  foreachMulScalar_,
  foreachSqrt,
} from '../ops/foreach.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { OptimizerError } from './errors.ts';
import { type DecayedGroup, ListOptimizer, type StepLists } from './list-optimizer.ts';
import type { ParamsInput } from './optimizer.ts';

export interface RMSpropGroup extends DecayedGroup {
  /** Of the running mean of squared gradients. */
  alpha: number;
  eps: number;
  momentum: number;
  /** Divide by the estimated variance instead of the second moment. */
  centered: boolean;
}

export type RMSpropOptions = Partial<Omit<RMSpropGroup, 'params'>>;

/** Steps in units of the gradients' root mean square (Hinton's lecture 6e; torch.optim.RMSprop). */
export class RMSprop extends ListOptimizer<RMSpropGroup> {
  constructor(params: ParamsInput<RMSpropGroup>, options: RMSpropOptions = {}) {
    super(params, {
      lr: 1e-2,
      momentum: 0,
      alpha: 0.99,
      eps: 1e-8,
      centered: false,
      weightDecay: 0,
      foreach: null,
      maximize: false,
      ...options,
    });
  }

  protected override validate(group: RMSpropGroup): void {
    super.validate(group);
    const { eps, momentum, alpha } = group;
    if (!(eps >= 0)) throw new OptimizerError('VALUE', `Invalid epsilon value: ${eps}`);
    if (!(momentum >= 0)) throw new OptimizerError('VALUE', `Invalid momentum value: ${momentum}`);
    if (!(alpha >= 0)) throw new OptimizerError('VALUE', `Invalid alpha value: ${alpha}`);
  }

  protected override remembered({ momentum, centered }: RMSpropGroup): readonly string[] {
    return ['squareAvg', ...(momentum > 0 ? ['momentumBuffer'] : []), ...(centered ? ['gradAvg'] : [])];
  }

  protected override apply(group: RMSpropGroup, { params, grads, state }: StepLists): void {
    const { alpha, eps, lr, momentum, centered } = group;
    const squares = state('squareAvg');
    foreachAddScalar_(state('step'), 1);
    foreachMulScalar_(squares, alpha);
    foreachAddcmul_(squares, grads, grads, 1 - alpha);
    let spread: readonly Tensor[] = squares;
    if (centered) {
      const means = state('gradAvg');
      foreachLerp_(means, grads, 1 - alpha);
      spread = foreachAddcmul(squares, means, means, -1);
    }
    const denominators = foreachSqrt(spread);
    foreachAddScalar_(denominators, eps);
    if (momentum === 0) {
      foreachAddcdiv_(params, grads, denominators, -lr);
      return;
    }
    const buffers = state('momentumBuffer');
    foreachMulScalar_(buffers, momentum);
    foreachAddcdiv_(buffers, grads, denominators, 1);
    foreachAdd_(params, buffers, { alpha: -lr });
  }
}
