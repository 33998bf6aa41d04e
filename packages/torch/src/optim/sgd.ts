import { op } from '../ops/call.ts';
import { foreachAdd, foreachAdd_, foreachCopy_, foreachMulScalar_, foreachNeg } from '../ops/foreach.ts';
import { toDense } from '../ops/sparse.ts';
import { zerosLike } from '../tensor/creation.ts';
import { keep } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { overflowOfForeach } from './amp-scaling.ts';
import { OptimizerError } from './errors.ts';
import { fusedAllowed, splitByLayout } from './kernel-choice.ts';
import { type Batch, Optimizer, type ParamGroup, type ParamsInput } from './optimizer.ts';

export interface SGDGroup extends ParamGroup {
  momentum: number;
  dampening: number;
  weightDecay: number;
  nesterov: boolean;
  maximize: boolean;
}

export type SGDOptions = Partial<Omit<SGDGroup, 'params'>>;

export interface SGDState {
  momentumBuffer?: Tensor;
  [name: string]: Tensor | undefined;
}

const FUSED = 'aten::_fused_sgd_';

type FusedSgd = (
  params: readonly Tensor[],
  grads: readonly Tensor[],
  momentumBuffers: readonly Tensor[],
  options: Record<string, number | boolean | Tensor | undefined>,
) => void;

const fusedSgd_ = op<FusedSgd>(FUSED, '');

/** What one kernel call takes; `buffers` is empty without momentum. */
interface Lists {
  params: Tensor[];
  grads: Tensor[];
  buffers: Tensor[];
}

/**
 * Stochastic gradient descent with momentum (torch.optim.SGD):
 *   g ← g + weightDecay · p;  b ← momentum · b + (1 - dampening) · g  (b ← g at the first step);
 *   p ← p - lr · (nesterov ? g + momentum · b : b)
 * One fused kernel call per group, device and dtype, where LibTorch has the kernel and the strides are equal;
 * list kernels otherwise. `fused: true` also lets a GradScaler leave unscaling and skipping to the kernel.
 */
export class SGD extends Optimizer<SGDGroup, SGDState> {
  constructor(params: ParamsInput<SGDGroup>, options: SGDOptions = {}) {
    super(params, {
      lr: 1e-3,
      momentum: 0,
      dampening: 0,
      weightDecay: 0,
      nesterov: false,
      maximize: false,
      foreach: null,
      fused: null,
      ...options,
    });
  }

  /** Not with dampening: a skipped first step would leave the kernel to dampen the first gradient. */
  override get stepSupportsAmpScaling(): boolean {
    return this.paramGroups.every(
      (group) =>
        group.fused === true &&
        (group.momentum === 0 || group.dampening === 0) &&
        group.params.every((param) => fusedAllowed(FUSED, group, param)),
    );
  }

  protected override validate({ lr, momentum, dampening, weightDecay, nesterov }: SGDGroup): void {
    if (!(lr >= 0)) throw new OptimizerError('VALUE', `Invalid learning rate: ${lr}`);
    if (!(momentum >= 0)) throw new OptimizerError('VALUE', `Invalid momentum value: ${momentum}`);
    if (!(weightDecay >= 0)) throw new OptimizerError('VALUE', `Invalid weight_decay value: ${weightDecay}`);
    if (nesterov && (momentum <= 0 || dampening !== 0)) {
      throw new OptimizerError('VALUE', 'Nesterov momentum requires a momentum and zero dampening');
    }
  }

  protected override update(group: SGDGroup, batch: Batch): void {
    const grads = batch.sparse ? batch.grads.map((grad) => toDense(grad)) : batch.grads;
    if (group.momentum === 0) {
      this.apply(group, { params: batch.params, grads, buffers: [] }, false);
      return;
    }
    // A parameter may get its first gradient late, and the kernel has one first-step flag for its whole list.
    const fresh: Lists = { params: [], grads: [], buffers: [] };
    const seen: Lists = { params: [], grads: [], buffers: [] };
    batch.params.forEach((param, i) => {
      const owner = batch.owners[i]!;
      const known = this.state.get(owner)?.momentumBuffer;
      const lists = known === undefined ? fresh : seen;
      lists.params.push(param);
      lists.grads.push(grads[i]!);
      lists.buffers.push(known ?? this.newBuffer(owner, param));
    });
    if (seen.params.length > 0) this.apply(group, seen, false);
    if (fresh.params.length > 0) this.apply(group, fresh, true);
  }

  private newBuffer(owner: Tensor, param: Tensor): Tensor {
    const momentumBuffer = keep(zerosLike(param));
    this.state.set(owner, { ...this.state.get(owner), momentumBuffer });
    return momentumBuffer;
  }

  private apply(group: SGDGroup, lists: Lists, firstStep: boolean): void {
    const { params, grads, buffers } = lists;
    if (!fusedAllowed(FUSED, group, params[0]!)) {
      this.applyForeach(group, lists, firstStep);
      return;
    }
    const split = splitByLayout(buffers.length === 0 ? [params, grads] : [params, grads, buffers]);
    if (split.fused.length > 0) this.applyFused(group, at(lists, split.fused), firstStep);
    if (split.foreach.length > 0) this.applyForeach(group, at(lists, split.foreach), firstStep);
  }

  private applyFused(group: SGDGroup, { params, grads, buffers }: Lists, firstStep: boolean): void {
    fusedSgd_(params, grads, buffers, {
      weight_decay: group.weightDecay,
      momentum: group.momentum,
      lr: group.lr,
      dampening: group.dampening,
      nesterov: group.nesterov,
      maximize: group.maximize,
      is_first_step: firstStep,
      ...this.ampArguments(params[0]!.device),
    });
  }

  private applyForeach(group: SGDGroup, { params, grads, buffers }: Lists, firstStep: boolean): void {
    if (overflowOfForeach(this, grads)) return;
    let direction: readonly Tensor[] = group.maximize ? foreachNeg(grads) : grads;
    if (group.weightDecay !== 0) direction = foreachAdd(direction, params, { alpha: group.weightDecay });
    if (group.momentum !== 0) {
      if (firstStep) {
        foreachCopy_(buffers, direction);
      } else {
        foreachMulScalar_(buffers, group.momentum);
        foreachAdd_(buffers, direction, { alpha: 1 - group.dampening });
      }
      direction = group.nesterov ? foreachAdd(direction, buffers, { alpha: group.momentum }) : buffers;
    }
    foreachAdd_(params, direction, { alpha: -group.lr });
  }
}

function at({ params, grads, buffers }: Lists, positions: readonly number[]): Lists {
  if (positions.length === params.length) return { params, grads, buffers };
  const pick = (list: readonly Tensor[]) => positions.map((i) => list[i]!);
  return { params: pick(params), grads: pick(grads), buffers: buffers.length === 0 ? [] : pick(buffers) };
}
