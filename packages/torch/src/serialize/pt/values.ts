import type { DType } from '../../tensor/dtype.ts';

/**
 * What a pickle holds, as inert values. A dict or OrderedDict is a Map, a set a Set, a list or tuple an array, bytes a
 * Uint8Array; whole numbers beyond 2^53 are bigints. A tensor is a description; a class is a name; an object of a class is
 * its name, arguments and state. Values may be shared and may form cycles, as in Python.
 */
export type PtValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PtValue[]
  | Map<PtValue, PtValue>
  | Set<PtValue>
  | PtGlobal
  | PtObject
  | PtStorage
  | PtTensor;

/** A class or function by name, never imported. */
export class PtGlobal {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }

  /** `torch.nn.modules.conv.Conv2d` */
  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** An object of a class, never constructed: what Python would have handed to the class. */
export class PtObject {
  /** `ultralytics.nn.tasks.DetectionModel` */
  readonly className: string;
  readonly args: readonly PtValue[];
  /** What the object's `__setstate__` or `__dict__` would get: mostly a Map of attributes. */
  state: PtValue = null;
  /** Items, when the class is a kind of list or set. */
  readonly list: PtValue[] = [];
  /** Entries, when the class is a kind of dict. */
  readonly entries: Map<PtValue, PtValue> = new Map();

  constructor(className: string, args: readonly PtValue[]) {
    this.className = className;
    this.args = args;
  }

  /** An attribute of the state; undefined when there is none. State with slots is a pair of dicts. */
  attribute(name: string): PtValue | undefined {
    const dicts = Array.isArray(this.state) ? this.state : [this.state];
    for (const dict of dicts) if (dict instanceof Map && dict.has(name)) return dict.get(name);
    return undefined;
  }
}

/** A run of elements in the file, which tensors view. */
export class PtStorage {
  readonly key: string;
  /** null: bytes, to which the tensor gives a dtype. */
  readonly dtype: DType | null;
  readonly elements: number;
  /** Device it was saved from, such as `cpu` or `cuda:0`. */
  readonly location: string;

  constructor(key: string, dtype: DType | null, elements: number, location: string) {
    this.key = key;
    this.dtype = dtype;
    this.elements = elements;
    this.location = location;
  }
}

/** A tensor of the file: a view of a storage. Checked to lie within it. */
export class PtTensor {
  readonly storage: PtStorage;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In elements, by dimension. */
  readonly stride: readonly number[];
  /** In elements. */
  readonly offset: number;
  readonly requiresGrad: boolean;
  /** Was it a torch.nn.Parameter? */
  readonly parameter: boolean;

  constructor(
    fields: Pick<
      PtTensor,
      'storage' | 'dtype' | 'shape' | 'stride' | 'offset' | 'requiresGrad' | 'parameter'
    >,
  ) {
    this.storage = fields.storage;
    this.dtype = fields.dtype;
    this.shape = fields.shape;
    this.stride = fields.stride;
    this.offset = fields.offset;
    this.requiresGrad = fields.requiresGrad;
    this.parameter = fields.parameter;
  }

  get numel(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }
}
