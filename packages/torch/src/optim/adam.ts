import { op } from '../ops/call.ts';
import { foreachAddScalar_, foreachSub_ } from '../ops/foreach.ts';
import { zerosLike } from '../tensor/creation.ts';
import { keep } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type AdamLists, adamForeach } from './adam-foreach.ts';
import { overflowOfForeach } from './amp-scaling.ts';
import { OptimizerError } from './errors.ts';
import { fusedAllowed, splitByLayout } from './kernel-choice.ts';
import { type Batch, Optimizer, type ParamGroup, type ParamsInput } from './optimizer.ts';
import { stepCounter } from './state.ts';

export interface AdamGroup extends ParamGroup {
  betas: [number, number];
  eps: number;
  weightDecay: number;
  amsgrad: boolean;
  maximize: boolean;
  /** Decay the weights directly (AdamW) instead of through the gradient. */
  decoupledWeightDecay: boolean;
}

export type AdamOptions = Partial<Omit<AdamGroup, 'params'>>;
export type AdamWOptions = Omit<AdamOptions, 'decoupledWeightDecay'>;

export interface AdamState {
  step?: Tensor;
  expAvg?: Tensor;
  expAvgSq?: Tensor;
  maxExpAvgSq?: Tensor;
  [name: string]: Tensor | undefined;
}

type FusedAdam = (
  params: readonly Tensor[],
  grads: readonly Tensor[],
  expAvgs: readonly Tensor[],
  expAvgSqs: readonly Tensor[],
  maxExpAvgSqs: readonly Tensor[],
  steps: readonly Tensor[],
  options: Record<string, number | boolean | Tensor | undefined>,
) => void;

const COUPLED = 'aten::_fused_adam_';
const DECOUPLED = 'aten::_fused_adamw_';
const fusedAdam_ = op<FusedAdam>(COUPLED, '');
const fusedAdamW_ = op<FusedAdam>(DECOUPLED, '');

const fusedName = (group: AdamGroup) => (group.decoupledWeightDecay ? DECOUPLED : COUPLED);

/**
 * Adam (arXiv 1412.6980; torch.optim.Adam), with `amsgrad` (Reddi 2018) and `decoupledWeightDecay` (AdamW).
 * Kernels are chosen as in SGD. The step counters live beside the parameters, so nothing is read by the host.
 */
export class Adam extends Optimizer<AdamGroup, AdamState> {
  constructor(params: ParamsInput<AdamGroup>, options: AdamOptions = {}) {
    super(params, {
      lr: 1e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      amsgrad: false,
      maximize: false,
      foreach: null,
      fused: null,
      decoupledWeightDecay: false,
      ...options,
    });
  }

  override get stepSupportsAmpScaling(): boolean {
    return this.paramGroups.every(
      (group) =>
        group.fused === true && group.params.every((param) => fusedAllowed(fusedName(group), group, param)),
    );
  }

  protected override validate({ lr, betas, eps, weightDecay }: AdamGroup): void {
    if (!(lr >= 0)) throw new OptimizerError('VALUE', `Invalid learning rate: ${lr}`);
    if (!(eps >= 0)) throw new OptimizerError('VALUE', `Invalid epsilon value: ${eps}`);
    betas.forEach((beta, i) => {
      if (!(beta >= 0 && beta < 1)) {
        throw new OptimizerError('VALUE', `Invalid beta parameter at index ${i}: ${beta}`);
      }
    });
    if (!(weightDecay >= 0)) throw new OptimizerError('VALUE', `Invalid weight_decay value: ${weightDecay}`);
  }

  protected override update(group: AdamGroup, batch: Batch): void {
    if (batch.sparse) {
      throw new OptimizerError(
        'RUNTIME',
        'Adam does not support sparse gradients, please consider SparseAdam instead',
      );
    }
    const states = batch.params.map((param, i) => this.stateOf(batch.owners[i]!, param, group.amsgrad));
    const lists: AdamLists = {
      params: batch.params,
      grads: batch.grads,
      expAvgs: states.map((state) => state.expAvg!),
      expAvgSqs: states.map((state) => state.expAvgSq!),
      maxExpAvgSqs: group.amsgrad ? states.map((state) => state.maxExpAvgSq!) : [],
      steps: states.map((state) => state.step!),
    };
    if (!fusedAllowed(fusedName(group), group, batch.params[0]!)) {
      this.applyForeach(group, lists);
      return;
    }
    const walked = [lists.params, lists.grads, lists.expAvgs, lists.expAvgSqs];
    if (group.amsgrad) walked.push(lists.maxExpAvgSqs);
    const split = splitByLayout(walked);
    if (split.fused.length > 0) this.applyFused(group, at(lists, split.fused));
    if (split.foreach.length > 0) this.applyForeach(group, at(lists, split.foreach));
  }

  private stateOf(owner: Tensor, param: Tensor, amsgrad: boolean): AdamState {
    let state = this.state.get(owner);
    if (state?.step === undefined) {
      state = {
        ...state,
        step: keep(stepCounter(param)),
        expAvg: keep(zerosLike(param)),
        expAvgSq: keep(zerosLike(param)),
      };
      this.state.set(owner, state);
    }
    if (amsgrad) state.maxExpAvgSq ??= keep(zerosLike(param));
    return state;
  }

  private applyFused(group: AdamGroup, lists: AdamLists): void {
    const { params, grads, expAvgs, expAvgSqs, maxExpAvgSqs, steps } = lists;
    const amp = this.ampArguments(params[0]!.device);
    foreachAddScalar_(steps, 1);
    const fused_ = group.decoupledWeightDecay ? fusedAdamW_ : fusedAdam_;
    fused_(params, grads, expAvgs, expAvgSqs, maxExpAvgSqs, steps, {
      lr: group.lr,
      beta1: group.betas[0],
      beta2: group.betas[1],
      weight_decay: group.weightDecay,
      eps: group.eps,
      amsgrad: group.amsgrad,
      maximize: group.maximize,
      ...amp,
    });
    // The kernel changed nothing on an overflow, so this step does not count.
    if (amp.found_inf !== undefined) foreachSub_(steps, new Array<Tensor>(steps.length).fill(amp.found_inf));
  }

  private applyForeach(group: AdamGroup, lists: AdamLists): void {
    if (!overflowOfForeach(this, lists.grads)) adamForeach(group, lists);
  }
}

/** Adam with decoupled weight decay (arXiv 1711.05101; torch.optim.AdamW), 0.01 by default. */
export class AdamW extends Adam {
  constructor(params: ParamsInput<AdamGroup>, options: AdamWOptions = {}) {
    super(params, { weightDecay: 0.01, ...options, decoupledWeightDecay: true });
  }
}

function at(lists: AdamLists, positions: readonly number[]): AdamLists {
  if (positions.length === lists.params.length) return lists;
  const pick = (list: readonly Tensor[]) => (list.length === 0 ? [] : positions.map((i) => list[i]!));
  return {
    params: pick(lists.params),
    grads: pick(lists.grads),
    expAvgs: pick(lists.expAvgs),
    expAvgSqs: pick(lists.expAvgSqs),
    maxExpAvgSqs: pick(lists.maxExpAvgSqs),
    steps: pick(lists.steps),
  };
}
