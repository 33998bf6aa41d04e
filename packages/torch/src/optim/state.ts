import { noGrad } from '../autograd/modes.ts';
import { tensor, zeros, zerosLike } from '../tensor/creation.ts';
import type { DType } from '../tensor/dtype.ts';
import { TensorHandle } from '../tensor/handle.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { OptimizerError } from './errors.ts';
import { hasMaster } from './master-weights.ts';
import type { ParamGroup, ParamState } from './optimizer.ts';

/** `optimizer.state_dict()` of PyTorch: parameters by their number, keys in PyTorch's spelling. */
export interface OptimizerState {
  state: Record<string, Record<string, Tensor | number | null>>;
  param_groups: SavedGroup[];
}

export interface SavedGroup {
  params: number[];
  [option: string]: unknown;
}

/** weightDecay → weight_decay */
const torchName = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** weight_decay → weightDecay */
const ourName = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

export function savedState(
  groups: readonly ParamGroup[],
  state: ReadonlyMap<Tensor, ParamState>,
): OptimizerState {
  const saved: OptimizerState = { state: {}, param_groups: [] };
  let next = 0;
  for (const { params, ...options } of groups) {
    const numbers = params.map((param) => {
      const values = state.get(param);
      if (values !== undefined) {
        saved.state[next] = Object.fromEntries(
          Object.entries(values).map(([name, value]) => [torchName(name), value ?? null]),
        );
      }
      return next++;
    });
    const named = Object.entries(options).map(([name, value]) => [torchName(name), structuredClone(value)]);
    saved.param_groups.push({ ...Object.fromEntries(named), params: numbers });
  }
  return saved;
}

/** The saved options and state in our names, state copied to where and how each parameter lies. */
export function loadedState<S extends ParamState>(
  saved: OptimizerState,
  groups: readonly ParamGroup[],
): { groups: Record<string, unknown>[]; state: Map<Tensor, S> } {
  if (saved.param_groups.length !== groups.length) {
    throw new OptimizerError('VALUE', 'loaded state dict has a different number of parameter groups');
  }
  const params = new Map<number, Target>();
  saved.param_groups.forEach((group, i) => {
    if (group.params.length !== groups[i]!.params.length) {
      throw new OptimizerError(
        'VALUE',
        "loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
      );
    }
    const own = groups[i]!;
    const masterWeights = (group.master_weights as boolean | undefined) ?? own.masterWeights ?? false;
    group.params.forEach((number, j) => {
      const param = own.params[j]!;
      params.set(number, { param, dtype: hasMaster({ masterWeights }, param) ? 'float32' : param.dtype });
    });
  });
  const state = scope(() => {
    const loaded = new Map<Tensor, S>();
    for (const [number, values] of Object.entries(saved.state)) {
      const target = params.get(Number(number));
      if (target !== undefined) loaded.set(target.param, paramState(number, target, values) as S);
    }
    for (const values of loaded.values()) for (const value of Object.values(values)) keep(value as Tensor);
    return loaded;
  });
  return { groups: saved.param_groups.map(groupOptions), state };
}

/** A parameter, and the dtype of what is updated in its place. */
interface Target {
  readonly param: Tensor;
  readonly dtype: DType;
}

function groupOptions({ params: _, ...options }: SavedGroup): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [ourName(name), structuredClone(value)]),
  );
}

/** State that is one number a parameter, in PyTorch's spelling. */
const SCALARS = new Set(['step', 'mu_product']);

function paramState(
  number: string,
  { param, dtype }: Target,
  saved: OptimizerState['state'][string],
): ParamState {
  const values: ParamState = {};
  for (const [name, value] of Object.entries(saved)) {
    if (value === null || value === undefined) continue;
    const source = value instanceof TensorHandle ? value : tensor(value);
    const target = SCALARS.has(name) ? stepCounter(param) : zerosLike(param, { dtype });
    if (String(source.shape) !== String(target.shape)) {
      throw new OptimizerError(
        'VALUE',
        `loaded state '${name}' of parameter ${number} has shape [${source.shape}], expected [${target.shape}]`,
      );
    }
    noGrad(() => target.copy_(source));
    values[ourName(name)] = target;
  }
  return values;
}

/** Steps a parameter has taken: a float32 scalar beside the parameter, as the fused kernels want it. */
export const stepCounter = (param: Tensor): Tensor => zeros([], { dtype: 'float32', device: param.device });
