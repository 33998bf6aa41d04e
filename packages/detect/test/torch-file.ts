/** Writes .pt files as Ultralytics and YOLOv5 leave them, with networks as objects of classes that are not there. */
import { writeFileSync } from 'node:fs';
import zlib from 'node:zlib';
import { native } from '@mezzo/libtorch';
import type { Tensor } from '@mezzo/torch';

export type Plain =
  | null
  | boolean
  | number
  | string
  | Plain[]
  | Map<Plain, Plain>
  | SavedModule
  | SavedTensor;

/** A tensor, saved in its own dtype. */
export class SavedTensor {
  readonly tensor: Tensor;

  constructor(tensor: Tensor) {
    this.tensor = tensor;
  }
}

/** A torch.nn.Module as its pickle has it: class, attributes, and tensors by their full names. */
export class SavedModule {
  readonly className: string;
  readonly state: Readonly<Record<string, Tensor>>;
  readonly attributes: ReadonlyMap<string, Plain>;

  constructor(
    className: string,
    state: Readonly<Record<string, Tensor>>,
    attributes: Record<string, Plain> = {},
  ) {
    this.className = className;
    this.state = state;
    this.attributes = new Map(Object.entries(attributes));
  }
}

const STORAGES: Readonly<Record<string, string>> = { float32: 'Float', float16: 'Half', int64: 'Long' };
const BUFFERS = /(^|\.)(running_mean|running_var|num_batches_tracked|anchors)$/;

/** Writes a value as torch.save would: a pickle of protocol 2 and one storage a tensor in a zip container. */
export function writeTorchFile(path: string, value: Plain): string {
  const { pickle, storages } = torchParts(value);
  return writeTorchParts(path, pickle, storages);
}

/** The pickle of a value, and the storages it refers to. */
export function torchParts(value: Plain): { pickle: Buffer; storages: Uint8Array[] } {
  const storages: Storages = new Map();
  const pickle = Buffer.concat([Buffer.from([0x80, 2]), encode(value, storages), Buffer.from('.')]);
  return { pickle, storages: [...storages.values()] };
}

/** The bytes of each tensor, once however often it is saved. */
type Storages = Map<Tensor, Uint8Array>;

export function writeTorchParts(path: string, pickle: Uint8Array, storages: readonly Uint8Array[]): string {
  const entries: [string, Uint8Array][] = [
    ['archive/data.pkl', pickle],
    ...storages.map((bytes, i): [string, Uint8Array] => [`archive/data/${i}`, bytes]),
    ['archive/version', Buffer.from('3\n')],
  ];
  writeFileSync(path, zipOf(entries));
  return path;
}

const raw = (text: string) => Buffer.from(text, 'latin1');
const global = (name: string) =>
  raw(`c${name.slice(0, name.lastIndexOf('.'))}\n${name.slice(name.lastIndexOf('.') + 1)}\n`);

function encode(value: Plain, storages: Storages): Buffer {
  const all = (items: Iterable<Plain>) => Buffer.concat([...items].map((item) => encode(item, storages)));
  if (value === null) return raw('N');
  if (typeof value === 'boolean') return raw(value ? '\x88' : '\x89');
  if (typeof value === 'number') return numberOf(value);
  if (typeof value === 'string') {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(Buffer.byteLength(value));
    return Buffer.concat([raw('X'), length, Buffer.from(value)]);
  }
  if (Array.isArray(value)) return Buffer.concat([raw(']('), all(value), raw('e')]);
  if (value instanceof Map) return Buffer.concat([raw('}('), all([...value].flat() as Plain[]), raw('u')]);
  if (value instanceof SavedTensor) return tensorOf(value.tensor, storages);
  return moduleOf(value, storages);
}

function numberOf(value: number): Buffer {
  const bytes = Buffer.alloc(9);
  if (Number.isInteger(value)) {
    bytes.write('J');
    bytes.writeInt32LE(value, 1);
    return bytes.subarray(0, 5);
  }
  bytes.write('G');
  bytes.writeDoubleBE(value, 1);
  return bytes;
}

function tensorOf(tensor: Tensor, storages: Storages): Buffer {
  const values = tensor.contiguous();
  if (!storages.has(tensor)) {
    const bytes = values.numel() > 0 ? new Uint8Array(native().bytesView(values.handle)) : new Uint8Array();
    storages.set(tensor, Buffer.from(bytes));
  }
  const sizes = (list: readonly number[]) => Buffer.concat([raw('('), ...list.map(numberOf), raw('t')]);
  const id = [
    'storage',
    `torch.${STORAGES[values.dtype]}Storage`,
    String([...storages.keys()].indexOf(tensor)),
    'cuda:0',
  ] as const;
  return Buffer.concat([
    global('torch._utils._rebuild_tensor_v2'),
    raw('(('),
    ...id.map((part, i) => (i === 1 ? global(part) : encode(part, storages))),
    numberOf(values.numel()),
    raw('tQ'),
    numberOf(0),
    sizes(values.shape),
    sizes(values.stride()),
    raw('\x89'),
    global('collections.OrderedDict'),
    raw(')RtR'),
  ]);
}

/** The tree of modules that the dots in the names make. */
function moduleOf({ className, state, attributes }: SavedModule, storages: Storages): Buffer {
  const own: Record<'_parameters' | '_buffers', Map<Plain, Plain>> = {
    _parameters: new Map(),
    _buffers: new Map(),
  };
  const below = new Map<string, Record<string, Tensor>>();
  for (const [name, tensor] of Object.entries(state)) {
    const dot = name.indexOf('.');
    if (dot < 0) own[BUFFERS.test(name) ? '_buffers' : '_parameters'].set(name, new SavedTensor(tensor));
    else {
      const child = name.slice(0, dot);
      below.set(child, { ...below.get(child), [name.slice(dot + 1)]: tensor });
    }
  }
  const children = [...below].map(([name, part]): [Plain, Plain] => [
    name,
    new SavedModule('torch.nn.modules.Part', part),
  ]);
  const dict = new Map<Plain, Plain>([
    ['training', false],
    ...Object.entries(own),
    ['_modules', new Map(children)],
    ...attributes,
  ]);
  return Buffer.concat([global(className), raw(')\x81'), encode(dict, storages), raw('b')]);
}

/** A zip container of stored entries, without zip64. */
function zipOf(entries: readonly [string, Uint8Array][]): Buffer {
  const parts: Uint8Array[] = [];
  const table: Uint8Array[] = [];
  let position = 0;
  for (const [name, content] of entries) {
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20);
    fields.writeUInt32LE(zlib.crc32(content), 10);
    fields.writeUInt32LE(content.length, 14);
    fields.writeUInt32LE(content.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(position, 10);
    table.push(raw('PK\x01\x02\x14\0'), fields, place, raw(name));
    parts.push(raw('PK\x03\x04'), fields, raw(name), content);
    position += 30 + name.length + content.length;
  }
  const directory = Buffer.concat(table);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(position, 16);
  return Buffer.concat([...parts, directory, end]);
}
