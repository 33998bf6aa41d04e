import { native } from '@mezzo/libtorch';
import { refuseInsideAutocast } from '../amp/state.ts';
import { enableGrad, noGrad } from '../autograd/modes.ts';
import { foreachCopy_, foreachZero_ } from '../ops/foreach.ts';
import { isSparse } from '../ops/sparse.ts';
import { TensorHandle } from '../tensor/handle.ts';
import { adoptAll } from '../tensor/lifetime.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { warn } from '../warning.ts';
import { OptimizerError } from './errors.ts';
import { hasMaster } from './master-weights.ts';
import { loadedState, type OptimizerState, savedState } from './state.ts';

/** Parameters that share their options. Options may be changed between steps, as schedulers do. */
export interface ParamGroup {
  params: Tensor[];
  lr: number;
  /** true: always per-operation kernels over lists. */
  foreach?: boolean | null;
  /** true: also take gradient scale and overflow flag inside the kernel; false: never the fused kernel. */
  fused?: boolean | null;
  /**
   * true: parameters in float16 or bfloat16 get a float32 copy, which is what the optimizer updates; the
   * parameter takes its rounded value. Without, an update below half a unit in the last place is lost.
   */
  masterWeights?: boolean;
  momentum?: number;
  betas?: [number, number];
  /** What schedulers remember of a group. */
  initialLr?: number;
  maxLr?: number;
  minLr?: number;
  maxMomentum?: number;
  baseMomentum?: number;
}

/** A group as it is given: parameters, and the options that differ from the optimizer's defaults. */
export type GroupInput<G extends ParamGroup> = Partial<Omit<G, 'params'>> & {
  params: Tensor | Iterable<Tensor>;
};

export type ParamsInput<G extends ParamGroup> = Iterable<Tensor> | Iterable<GroupInput<G>>;

/** What an optimizer remembers of one parameter, by PyTorch's names in camelCase. */
export type ParamState = Partial<Record<string, Tensor>>;

/** Parameters of one group, device and dtype with their gradients: what one kernel call takes. */
export interface Batch {
  readonly sparse: boolean;
  /** What is updated: the parameters, or their float32 masters. */
  readonly params: Tensor[];
  readonly grads: Tensor[];
  /** The parameters, which are the keys of the state. */
  readonly owners: Tensor[];
}

/**
 * Base of the optimizers (torch.optim.Optimizer). A subclass implements `update`, which gets all parameters
 * of a group that have a gradient, batched by device and dtype.
 *
 * State tensors take the parameter's strides (zerosLike) and are loaded by `copy_`: LibTorch's fused kernels
 * walk parameter, gradient and state as flat memory.
 */
export abstract class Optimizer<G extends ParamGroup = ParamGroup, S extends ParamState = ParamState> {
  readonly defaults: Omit<G, 'params'>;
  readonly paramGroups: G[] = [];
  readonly state = new Map<Tensor, S>();
  /** True once a step was taken, or skipped by a GradScaler. */
  stepCalled = false;
  /** @internal Set by a GradScaler around `step` when `stepSupportsAmpScaling`. */
  gradScale?: Tensor;
  /** @internal */
  foundInf?: Tensor;

  /** @throws OptimizerError with PyTorch's text for an option out of range or a wrong parameter list */
  protected constructor(params: ParamsInput<G>, defaults: Omit<G, 'params'>) {
    this.defaults = defaults;
    if (params instanceof TensorHandle) {
      throw new OptimizerError(
        'TYPE',
        'params argument given to the optimizer should be an iterable of Tensors or dicts, but got Tensor',
      );
    }
    const list = [...params] as Tensor[] | GroupInput<G>[];
    if (list.length === 0) throw new OptimizerError('VALUE', 'optimizer got an empty parameter list');
    const groups = isGroup(list[0])
      ? (list as GroupInput<G>[])
      : [{ params: list } as unknown as GroupInput<G>];
    for (const group of groups) this.addParamGroup(group);
  }

  /** Applies one batch of gradients; runs in a scope without gradient recording. */
  protected abstract update(group: G, batch: Batch): void;

  /** @throws OptimizerError VALUE when an option of the group is out of range */
  protected abstract validate(group: G): void;

  /** What a GradScaler attached, as arguments of a fused kernel on that device. */
  protected ampArguments(device: string): { grad_scale: Tensor | undefined; found_inf: Tensor | undefined } {
    return { grad_scale: this.gradScale?.to(device), found_inf: this.foundInf?.to(device) };
  }

  /** True when `step` applies `gradScale` and `foundInf` itself, so that a GradScaler need not read them. */
  get stepSupportsAmpScaling(): boolean {
    return false;
  }

  /**
   * Updates every parameter that has a gradient. `closure` recomputes the loss first and its value is
   * returned.
   * @throws MezzoError INSIDE_AUTOCAST: a step inside an autocast region would leave stale casts behind
   */
  step<R = undefined>(closure?: () => R): R | undefined {
    refuseInsideAutocast('optimizer.step()');
    const loss = closure === undefined ? undefined : enableGrad(closure);
    noGrad(() => {
      scope(() => {
        for (const group of this.paramGroups) {
          for (const batch of batches(group.params)) {
            if (hasMaster(group, batch.params[0]!)) this.updateMasters(group, batch);
            else this.update(group, batch);
          }
        }
      });
    });
    this.stepCalled = true;
    return loss;
  }

  private updateMasters(group: G, { sparse, grads, owners }: Batch): void {
    const params = owners.map((owner) => this.masterOf(owner));
    this.update(group, { sparse, owners, params, grads: grads.map((grad) => grad.to('float32')) });
    foreachCopy_(owners, params);
  }

  private masterOf(owner: Tensor): Tensor {
    const state = this.state.get(owner);
    if (state?.masterParam !== undefined) return state.masterParam;
    const masterParam = keep(owner.detach().to('float32'));
    this.state.set(owner, { ...state, masterParam } as unknown as S);
    return masterParam;
  }

  /** Drops the gradients, or fills them with zeros when `setToNone` is false. */
  zeroGrad({ setToNone = true } = {}): void {
    const params = this.paramGroups.flatMap((group) => group.params);
    if (setToNone) {
      native().clearGrads(handlesOf(params));
      return;
    }
    scope(() => {
      const grads = params.map((param) => param.grad).filter((grad) => grad !== null);
      for (const grad of grads) grad.requiresGrad_(false);
      if (grads.length > 0) noGrad(() => foreachZero_(grads));
    });
  }

  /** Adds parameters, for example of layers that are unfrozen later. */
  addParamGroup(input: GroupInput<G>): void {
    const params = input.params instanceof TensorHandle ? [input.params] : [...input.params];
    for (const param of params) {
      if (!(param instanceof TensorHandle)) {
        throw new OptimizerError(
          'TYPE',
          `optimizer can only optimize Tensors, but one of the params is ${typeof param}`,
        );
      }
      if (!param.isLeaf) throw new OptimizerError('VALUE', "can't optimize a non-leaf Tensor");
    }
    const unique = new Set(params);
    if (unique.size !== params.length) {
      warn('DUPLICATE_PARAMETERS', 'optimizer contains a parameter group with duplicate parameters');
    }
    if (this.paramGroups.some((group) => group.params.some((param) => unique.has(param)))) {
      throw new OptimizerError('VALUE', 'some parameters appear in more than one parameter group');
    }
    const group = { ...this.defaults, ...input, params } as unknown as G;
    this.validate(group);
    this.paramGroups.push(group);
  }

  /**
   * State and options in PyTorch's format, so that files go both ways: parameters are numbered through all
   * groups. The tensors are the live ones, not copies.
   */
  stateDict(): OptimizerState {
    return savedState(this.paramGroups, this.state);
  }

  /**
   * Takes over options and state; the tensors are copied into ones with the parameters' strides, dtype and
   * device. Nothing changes when it throws.
   * @throws OptimizerError VALUE when groups, parameters or shapes do not match
   */
  loadStateDict(saved: OptimizerState): void {
    const { groups, state } = loadedState<S>(saved, this.paramGroups);
    for (const old of this.state.values()) for (const tensor of Object.values(old)) tensor?.dispose();
    this.state.clear();
    for (const [param, values] of state) this.state.set(param, values);
    groups.forEach((options, i) => {
      Object.assign(this.paramGroups[i]!, options);
    });
  }
}

function isGroup<G extends ParamGroup>(entry: Tensor | GroupInput<G> | undefined): boolean {
  return typeof entry === 'object' && !(entry instanceof TensorHandle) && 'params' in entry;
}

function batches(params: readonly Tensor[]): Iterable<Batch> {
  const found = new Map<string, Batch>();
  const grads = adoptAll(native().gradsOf(handlesOf(params)));
  params.forEach((param, i) => {
    const grad = grads[i]!;
    if (grad === null) return;
    const sparse = isSparse(grad);
    const key = `${param.device} ${param.dtype} ${grad.dtype} ${sparse}`;
    let batch = found.get(key);
    if (batch === undefined) {
      const params: Tensor[] = [];
      batch = { sparse, params, grads: [], owners: params };
      found.set(key, batch);
    }
    batch.params.push(param);
    batch.grads.push(grad);
  });
  return found.values();
}

const handlesOf = (tensors: readonly Tensor[]) => Float64Array.from(tensors, ({ handle }) => handle);
