import { dtypeNamed, dtypeOfStorage, elementBytes } from './dtypes.ts';
import { LIMITS } from './limits.ts';
import { describe, type PickleMachine } from './pickle-machine.ts';
import { PtGlobal, PtStorage, PtTensor, type PtValue } from './values.ts';

type Rebuild = (args: readonly PtValue[], machine: PickleMachine) => PtValue;

/** What torch.save writes in place of a tensor: calls of these functions of `torch._utils`, with these arguments. */
export const REBUILD: ReadonlyMap<string, Rebuild> = new Map<string, Rebuild>([
  ['torch._utils._rebuild_tensor', (args, machine) => viewOf(args.slice(0, 4), false, machine)],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  [
    'torch._utils._rebuild_tensor_v3',
    // storage, offset, size, stride, requires_grad, backward_hooks, dtype, metadata
    ([storage, offset, size, stride, requiresGrad, , dtype, metadata], machine) => {
      checkMetadata(metadata, machine);
      return viewOf([storage!, offset!, size!, stride!], requiresGrad === true, machine, dtype);
    },
  ],
  ['torch._utils._rebuild_parameter', rebuildParameter],
  ['torch._utils._rebuild_parameter_with_state', rebuildParameter],
  ['torch._tensor._rebuild_from_type_v2', rebuildFromType],
]);

function rebuildTensor(
  [storage, offset, size, stride, requiresGrad, , metadata]: readonly PtValue[],
  machine: PickleMachine,
): PtTensor {
  checkMetadata(metadata, machine);
  return viewOf([storage!, offset!, size!, stride!], requiresGrad === true, machine);
}

function rebuildParameter([data, requiresGrad]: readonly PtValue[], machine: PickleMachine): PtTensor {
  if (!(data instanceof PtTensor))
    return machine.fail('PT_INVALID', `a parameter of ${describe(data ?? null)}`);
  return new PtTensor({ ...data, requiresGrad: requiresGrad === true, parameter: true });
}

/** A tensor of a subclass, or with attributes: function, class, arguments, state. The tensor in it is taken. */
function rebuildFromType([rebuild, , args]: readonly PtValue[], machine: PickleMachine): PtValue {
  const known = rebuild instanceof PtGlobal ? REBUILD.get(rebuild.path) : undefined;
  // Its own kind inside itself would recurse as deep as a file says.
  if (known === undefined || known === rebuildFromType || !Array.isArray(args)) {
    return machine.fail('PT_UNSUPPORTED', `a tensor is rebuilt by ${describe(rebuild ?? null)}`);
  }
  return known(args, machine);
}

/** Lazily conjugated or negated complex tensors; dense real ones have no metadata. */
function checkMetadata(metadata: PtValue | undefined, machine: PickleMachine): void {
  if (metadata instanceof Map && [...metadata.values()].some((value) => value === true)) {
    machine.fail('PT_UNSUPPORTED', 'a tensor is stored conjugated or negated');
  }
}

function viewOf(
  [storage, offset, size, stride]: readonly PtValue[],
  requiresGrad: boolean,
  machine: PickleMachine,
  given?: PtValue,
): PtTensor {
  if (!(storage instanceof PtStorage)) {
    return machine.fail('PT_INVALID', `a tensor is made of ${describe(storage ?? null)}, not of a storage`);
  }
  const dtype =
    given instanceof PtGlobal && given.module === 'torch'
      ? dtypeNamed(given.name)
      : (storage.dtype ?? 'uint8');
  if (dtype === undefined) {
    return machine.fail('PT_UNSUPPORTED', `a tensor of dtype ${describe(given ?? null)}`);
  }
  const shape = sizesOf(size, 'shape', machine);
  const strides = sizesOf(stride, 'strides', machine);
  const [start] = sizesOf([offset ?? null], 'offset', machine) as [number];
  if (shape.length !== strides.length || shape.length > LIMITS.dimensions) {
    machine.fail(
      'PT_INVALID',
      `a tensor of shape [${shape.slice(0, 8)}] has the strides [${strides.slice(0, 8)}]`,
    );
  }
  const tensor = new PtTensor({
    storage,
    dtype,
    shape,
    stride: strides,
    offset: start,
    requiresGrad,
    parameter: false,
  });
  const needed = elementsSpanned(tensor);
  const held = Math.floor((storage.elements * elementBytes(storage.dtype)) / elementBytes(dtype));
  if (needed > held || !Number.isSafeInteger(shape.reduce((all, size) => all * Math.max(1, size), 1))) {
    machine.fail(
      'PT_INVALID',
      `a tensor of shape [${shape}] needs ${needed} elements of storage ${storage.key}, which has ${held}`,
    );
  }
  return tensor;
}

/** Elements from the beginning of the storage to the tensor's last one. */
function elementsSpanned({ shape, stride, offset }: PtTensor): number {
  if (shape.includes(0)) return offset;
  return shape.reduce((last, size, i) => last + (size - 1) * stride[i]!, offset) + 1;
}

function sizesOf(value: PtValue | undefined, what: string, machine: PickleMachine): number[] {
  const sizes = Array.isArray(value) ? value : [undefined];
  if (sizes.every((size) => Number.isSafeInteger(size) && (size as number) >= 0))
    return [...sizes] as number[];
  return machine.fail('PT_INVALID', `${what} of a tensor: not a list of sizes`);
}

/** Modules whose storage classes are the same thing on other devices or in other versions. */
const STORAGE_MODULES: ReadonlySet<string> = new Set(['torch', 'torch.cuda', 'torch.storage']);

/** How many bytes the file has for a storage; null when that is not known yet. Refuses keys that are not there. */
export type BytesOfStorage = (key: string, machine: PickleMachine) => number | null;

/** Finds or makes storages from persistent ids: `('storage', class, key, location, elements)`. */
export class Storages {
  readonly byKey = new Map<string, PtStorage>();
  readonly #bytesOf: BytesOfStorage;

  constructor(bytesOf: BytesOfStorage) {
    this.#bytesOf = bytesOf;
  }

  find(id: PtValue, machine: PickleMachine): PtStorage {
    const [kind, type, key, location, elements, view = null] = Array.isArray(id) ? id : [];
    if (kind !== 'storage' || typeof key !== 'string' || typeof location !== 'string' || !isCount(elements)) {
      return machine.fail('PT_INVALID', `what it refers to is ${describe(id)}, not a storage`);
    }
    if (view !== null) machine.fail('PT_UNSUPPORTED', `storage ${key} is a view of another one`);
    const dtype = storageDType(type, machine);
    const known = this.byKey.get(key);
    if (known !== undefined) {
      if (known.dtype === dtype && known.elements === elements) return known;
      machine.fail('PT_INVALID', `storage ${key} is described in two ways`);
    }
    const storage = new PtStorage(key, dtype, elements, location);
    const needed = elements * elementBytes(dtype);
    const held = this.#bytesOf(key, machine);
    if (held !== null && held !== needed) {
      machine.fail('PT_INVALID', `storage ${key} has ${held} bytes, its ${elements} elements take ${needed}`);
    }
    this.byKey.set(key, storage);
    return storage;
  }
}

function isCount(value: PtValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function storageDType(type: PtValue | undefined, machine: PickleMachine) {
  if (type instanceof PtGlobal && STORAGE_MODULES.has(type.module)) {
    if (type.name === 'UntypedStorage') return null;
    const dtype = dtypeOfStorage(type.name);
    if (dtype !== undefined) return dtype;
  }
  return machine.fail('PT_UNSUPPORTED', `storages of ${describe(type ?? null)} are not read`);
}
