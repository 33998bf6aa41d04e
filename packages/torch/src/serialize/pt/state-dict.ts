import type { Refuse } from './errors.ts';
import { describe } from './pickle-machine.ts';
import { PtObject, PtTensor, type PtValue } from './values.ts';

/** Modules and their entries in one network; what is reached by several ways counts as often. */
const LARGEST_STATE = 1_000_000;
const DEEPEST_MODULE = 200;

/**
 * The state dict of what a file holds, in PyTorch's order: a dict of names to tensors, or a network saved as an object,
 * whose `_parameters`, `_buffers` and `_modules` are walked. undefined when it is neither.
 */
export function stateDictOf(value: PtValue, refuse: Refuse): Map<string, PtTensor> | undefined {
  if (value instanceof Map) return tensorDict(value);
  if (!isModule(value)) return undefined;
  const state = new Map<string, PtTensor>();
  let visits = 0;
  const walk = (module: PtObject, prefix: string, above: readonly PtObject[]): void => {
    visits += 1 + sizeOf(module);
    if (visits > LARGEST_STATE || above.length > DEEPEST_MODULE) {
      refuse('PT_LIMIT', 'its network has too many parts, or parts too deep in each other', prefix);
    }
    if (above.includes(module)) refuse('PT_INVALID', 'a module of its network contains itself', prefix);
    for (const [name, tensor] of ownTensors(module, prefix, refuse)) state.set(name, tensor);
    const children = module.attribute('_modules');
    if (!(children instanceof Map)) return;
    for (const [name, child] of children) {
      if (isModule(child)) walk(child, `${prefix}${asName(name, prefix, refuse)}.`, [...above, module]);
    }
  };
  walk(value, '', []);
  return state;
}

/** Is it an object of a torch.nn.Module? */
export function isModule(value: PtValue | undefined): value is PtObject {
  return value instanceof PtObject && value.attribute('_modules') instanceof Map;
}

/** Entries of a module, among them those that are None. */
function sizeOf(module: PtObject): number {
  const parts = ['_parameters', '_buffers', '_modules'].map((name) => module.attribute(name));
  return parts.reduce<number>((sum, part) => sum + (part instanceof Map ? part.size : 0), 0);
}

function* ownTensors(module: PtObject, prefix: string, refuse: Refuse): Generator<[string, PtTensor]> {
  const transient = module.attribute('_non_persistent_buffers_set');
  for (const part of ['_parameters', '_buffers']) {
    const named = module.attribute(part);
    if (!(named instanceof Map)) continue;
    for (const [name, tensor] of named) {
      if (tensor === null || (part === '_buffers' && transient instanceof Set && transient.has(name)))
        continue;
      const full = `${prefix}${asName(name, prefix, refuse)}`;
      if (!(tensor instanceof PtTensor))
        return refuse('PT_UNSUPPORTED', `'${full}' is ${describe(tensor)}, not a dense tensor`);
      yield [full, tensor];
    }
  }
}

/** Attributes are text. A tuple as text could be endless: its parts may be shared. */
function asName(name: PtValue, prefix: string, refuse: Refuse): string {
  if (typeof name === 'string') return name;
  return refuse('PT_INVALID', `a part of its network has ${describe(name)} as its name`, prefix);
}

function tensorDict(value: Map<PtValue, PtValue>): Map<string, PtTensor> | undefined {
  for (const [name, tensor] of value) {
    if (typeof name !== 'string' || !(tensor instanceof PtTensor)) return undefined;
  }
  return value as Map<string, PtTensor>;
}
