import { foreachAdd, foreachMulScalar_, foreachNeg } from '../ops/foreach.ts';
import { stack } from '../tensor/compose.ts';
import { zerosLike } from '../tensor/creation.ts';
import { keep } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { overflowOfForeach } from './amp-scaling.ts';
import { OptimizerError } from './errors.ts';
import { type Batch, Optimizer, type ParamGroup } from './optimizer.ts';
import { stepCounter } from './state.ts';

export interface DecayedGroup extends ParamGroup {
  weightDecay: number;
  maximize: boolean;
  /** Decay the weights directly instead of through the gradient. */
  decoupledWeightDecay?: boolean;
}

type State = Record<string, Tensor | undefined>;

/** Parameters and gradients of one call, with what was remembered of each parameter under a name. */
export interface StepLists {
  readonly params: readonly Tensor[];
  /** With weight decay, and of the sign in which the loss falls. */
  readonly grads: readonly Tensor[];
  state(name: string): Tensor[];
}

/** Base of the optimizers for which LibTorch has no fused kernel: state, decay and overflow around list kernels. */
export abstract class ListOptimizer<G extends DecayedGroup> extends Optimizer<G, State> {
  /** Names of the state tensors of a parameter that have its shape; all of them begin at zero. */
  protected abstract remembered(group: G): readonly string[];

  /** Changes parameters and state by one step; `steps` are counted already. */
  protected abstract apply(group: G, lists: StepLists): void;

  /** State of a parameter that is a single number, and its first value. */
  protected scalars(): Readonly<Record<string, number>> {
    return {};
  }

  protected override validate({ lr, weightDecay }: G): void {
    if (!(lr >= 0)) throw new OptimizerError('VALUE', `Invalid learning rate: ${lr}`);
    if (!(weightDecay >= 0)) throw new OptimizerError('VALUE', `Invalid weight_decay value: ${weightDecay}`);
  }

  protected override update(group: G, batch: Batch): void {
    if (batch.sparse) {
      throw new OptimizerError('RUNTIME', `${this.constructor.name} does not support sparse gradients`);
    }
    const { params, owners } = batch;
    if (overflowOfForeach(this, batch.grads)) return;
    const states = params.map((param, i) => this.stateOf(group, owners[i]!, param));
    const state = (name: string) => states.map((values) => values[name]!);
    let grads: readonly Tensor[] = group.maximize ? foreachNeg(batch.grads) : batch.grads;
    if (group.weightDecay !== 0) {
      if (group.decoupledWeightDecay) foreachMulScalar_(params, 1 - group.lr * group.weightDecay);
      else grads = foreachAdd(grads, params, { alpha: group.weightDecay });
    }
    this.apply(group, { params, grads, state });
  }

  private stateOf(group: G, owner: Tensor, param: Tensor): State {
    const known = this.state.get(owner);
    if (known?.step !== undefined) return known;
    const state: State = { ...known, step: keep(stepCounter(param)) };
    for (const [name, value] of Object.entries(this.scalars())) {
      const scalar = keep(stepCounter(param));
      scalar.fill_(value);
      state[name] = scalar;
    }
    for (const name of this.remembered(group)) state[name] = keep(zerosLike(param));
    this.state.set(owner, state);
    return state;
  }
}

/** Counters as one vector in float64: 1 - 0.999^1 would lose four digits in float32. Nothing is read by the host. */
export const countsOf = (steps: readonly Tensor[]): Tensor => stack(steps).to('float64');

/** beta^count. */
export const powerOf = (beta: number, count: Tensor): Tensor => count.mul(Math.log(beta)).exp();

/** 1 - beta^count, exact for small counts. */
export const biasCorrection = (beta: number, count: Tensor): Tensor =>
  count.mul(Math.log(beta)).expm1().neg();

/** @throws OptimizerError with PyTorch's text */
export function checkBetas(betas: readonly number[], eps: number): void {
  if (!(eps >= 0)) throw new OptimizerError('VALUE', `Invalid epsilon value: ${eps}`);
  betas.forEach((beta, i) => {
    if (!(beta >= 0 && beta < 1)) {
      throw new OptimizerError('VALUE', `Invalid beta parameter at index ${i}: ${beta}`);
    }
  });
}
