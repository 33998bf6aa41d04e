import { TorchError } from '@mezzo/libtorch';
import { op } from '../ops/call.ts';
import type { RemovableHandle } from '../removable-handle.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Module } from './module.ts';
import { Parameter } from './parameter.ts';

const weightNormOp = op<(v: Tensor, g: Tensor, dim: number) => Tensor>('aten::_weight_norm');
const normExceptDim = op<(v: Tensor, power: number, dim: number) => Tensor>('aten::norm_except_dim');

interface Normalized {
  readonly dim: number;
  readonly hook: RemovableHandle;
}

const normalized = new WeakMap<Module, Map<string, Normalized>>();

/**
 * Splits a parameter into direction `NAME_v` and length `NAME_g`, which are trained in its place (Salimans and
 * Kingma 2016; torch.nn.utils.weight_norm). The parameter is put together again before every forward.
 * @param options.name default: weight
 * @param options.dim the dimension that keeps its own lengths, default 0; -1: one length for all
 */
export function weightNorm<M extends Module>(module: M, options: { name?: string; dim?: number } = {}): M {
  const { name = 'weight', dim = 0 } = options;
  const own = module as unknown as Record<string, unknown>;
  const weight = own[name];
  if (!(weight instanceof Parameter)) {
    throw new TorchError('VALUE', `weightNorm: ${module.constructor.name} has no parameter '${name}'`);
  }
  delete own[name];
  own[`${name}_g`] = new Parameter(normExceptDim(weight.detach(), 2, dim));
  own[`${name}_v`] = new Parameter(weight.detach().clone());
  const compose = (): undefined => {
    own[name] = weightNormOp(own[`${name}_v`] as Tensor, own[`${name}_g`] as Tensor, dim);
  };
  compose();
  const known = normalized.get(module) ?? new Map<string, Normalized>();
  known.set(name, { dim, hook: module.registerForwardPreHook(compose) });
  normalized.set(module, known);
  return module;
}

/** Makes one parameter of the two again (torch.nn.utils.remove_weight_norm). */
export function removeWeightNorm<M extends Module>(module: M, name = 'weight'): M {
  const found = normalized.get(module)?.get(name);
  if (found === undefined) {
    throw new TorchError('VALUE', `weight_norm of '${name}' not found in ${module.constructor.name}`);
  }
  const own = module as unknown as Record<string, unknown>;
  const [v, g] = [own[`${name}_v`] as Tensor, own[`${name}_g`] as Tensor];
  found.hook.remove();
  normalized.get(module)?.delete(name);
  for (const part of [name, `${name}_g`, `${name}_v`]) delete own[part];
  own[name] = new Parameter(weightNormOp(v, g, found.dim).detach());
  return module;
}
