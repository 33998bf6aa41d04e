import { describe, type PickleMachine, type PickleMeaning } from './pickle-machine.ts';
import { isForbidden, isInertFunction, looksLikeClass } from './python-names.ts';
import { REBUILD, type Storages } from './tensor-views.ts';
import { PtGlobal, PtObject, type PtValue } from './values.ts';

type Constructor = (args: readonly PtValue[], machine: PickleMachine) => PtValue;

/** Classes whose objects have a counterpart here. */
const CONSTRUCTORS: ReadonlyMap<string, Constructor> = new Map<string, Constructor>([
  ['collections.OrderedDict', ([pairs], machine) => dictOf(pairs, machine)],
  ['collections.defaultdict', ([, pairs], machine) => dictOf(pairs, machine)],
  ['collections.Counter', ([pairs], machine) => dictOf(pairs, machine)],
  ['torch.Size', ([sizes], machine) => listOf(sizes, machine)],
  ['_codecs.encode', encoded],
  ...['builtins', '__builtin__'].flatMap((module): [string, Constructor][] => [
    [`${module}.dict`, ([pairs], machine) => dictOf(pairs, machine)],
    [`${module}.set`, ([items], machine) => new Set(listOf(items, machine))],
    [`${module}.frozenset`, ([items], machine) => new Set(listOf(items, machine))],
    [`${module}.list`, ([items], machine) => listOf(items, machine)],
    [`${module}.tuple`, ([items], machine) => listOf(items, machine)],
    [`${module}.bytearray`, encoded],
    [`${module}.bytes`, encoded],
  ]),
]);

/**
 * What a PyTorch pickle means here. Tensors, storages and plain containers become values; other classes become opaque
 * objects; functions that are not on a list, and modules that reach the system, refuse the file.
 */
export function meaningOf(storages: Storages): (machine: PickleMachine) => PickleMeaning {
  return (machine) => ({
    global: (module, name) => {
      const global = new PtGlobal(module, name);
      return isForbidden(global) ? unsafe(machine, `it names ${global.path}, which no weights need`) : global;
    },
    call: (callable, args, construct) => {
      if (!Array.isArray(args)) return machine.fail('PT_INVALID', `its arguments are ${describe(args)}`);
      if (!(callable instanceof PtGlobal))
        return unsafe(machine, `it asks Python to call ${describe(callable)}`);
      const known = REBUILD.get(callable.path) ?? CONSTRUCTORS.get(callable.path);
      if (known !== undefined) return known(args, machine);
      if (!construct && !isInertFunction(callable) && !looksLikeClass(callable)) {
        return unsafe(machine, `it asks Python to call ${callable.path}`);
      }
      return objectOf(callable, args);
    },
    persistent: (id) => storages.find(id, machine),
    build: (target, state) => {
      if (target instanceof PtObject) target.state = state;
      // Attributes of a dict or a tensor (a state dict has `_metadata`) say nothing about weights.
      else if (typeof target !== 'object' || target === null || target instanceof PtGlobal) {
        machine.fail('PT_INVALID', `it gives a state to ${describe(target)}`);
      }
    },
  });
}

const unsafe = (machine: PickleMachine, found: string): never => machine.fail('PT_UNSAFE', found);

/** Python's oldest way to make an object names the class in the arguments. */
function objectOf(callable: PtGlobal, args: readonly PtValue[]): PtObject {
  const [first] = args;
  const named = callable.name === '_reconstructor' && first instanceof PtGlobal ? first : callable;
  return new PtObject(named.path, args);
}

function listOf(items: PtValue | undefined, machine: PickleMachine): PtValue[] {
  const given = Array.isArray(items) || items instanceof Set ? [...items] : [];
  machine.copying(given.length);
  return given;
}

function dictOf(pairs: PtValue | undefined, machine: PickleMachine): Map<PtValue, PtValue> {
  const given: PtValue[] = pairs instanceof Map ? [...pairs] : listOf(pairs, machine);
  machine.copying(given.length);
  const complete = given.filter((pair): pair is PtValue[] => Array.isArray(pair) && pair.length === 2);
  return new Map(complete as unknown as [PtValue, PtValue][]);
}

/** Bytes, which protocol 2 writes as `encode(text, 'latin1')`. */
function encoded([content = null]: readonly PtValue[], machine: PickleMachine): PtValue {
  if (content instanceof Uint8Array) return content;
  if (content === null) return new Uint8Array();
  if (typeof content === 'string') {
    machine.copying(content.length);
    return Uint8Array.from(Buffer.from(content, 'latin1'));
  }
  return machine.fail('PT_INVALID', `it makes bytes of ${describe(content)}`);
}
