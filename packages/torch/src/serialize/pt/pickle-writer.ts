/** A class or function in a pickle: `new PickleName('collections', 'OrderedDict')`. */
export class PickleName {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }
}

/** A call of a class or function when the pickle is loaded. */
export class PickleCall {
  readonly callable: PickleName;
  readonly args: readonly PickleInput[];
  /** Entries that are set on the result. */
  readonly entries: readonly (readonly [PickleInput, PickleInput])[];

  constructor(
    callable: PickleName,
    args: readonly PickleInput[],
    entries: readonly (readonly [PickleInput, PickleInput])[] = [],
  ) {
    this.callable = callable;
    this.args = args;
    this.entries = entries;
  }
}

/** A reference to something beside the pickle. */
export class PickleReference {
  readonly id: readonly PickleInput[];

  constructor(id: readonly PickleInput[]) {
    this.id = id;
  }
}

/** What can be written; an array becomes a tuple. */
export type PickleInput =
  | string
  | number
  | boolean
  | PickleName
  | PickleCall
  | PickleReference
  | readonly PickleInput[];

const PROTOCOL = 2;
const INT32_LIMIT = 2 ** 31;

/** Writes values as a pickle of protocol 2, which every Python reads. */
export function pickle(value: PickleInput): Buffer {
  const parts: Buffer[] = [Buffer.from([0x80, PROTOCOL])];
  write(value, parts);
  parts.push(Buffer.from('.'));
  return Buffer.concat(parts);
}

function write(value: PickleInput, parts: Buffer[]): void {
  const op = (code: string) => parts.push(Buffer.from(code, 'latin1'));
  if (typeof value === 'boolean') op(value ? '\x88' : '\x89');
  else if (typeof value === 'number') parts.push(integer(value));
  else if (typeof value === 'string') {
    const text = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(text.length);
    parts.push(Buffer.from('X'), length, text);
  } else if (value instanceof PickleName) op(`c${value.module}\n${value.name}\n`);
  else if (value instanceof PickleReference) {
    write(value.id, parts);
    op('Q');
  } else if (value instanceof PickleCall) {
    write(value.callable, parts);
    write(value.args, parts);
    op('R');
    if (value.entries.length === 0) return;
    op('(');
    for (const entry of value.entries) for (const part of entry) write(part, parts);
    op('u');
  } else {
    op('(');
    for (const item of value) write(item, parts);
    op('t');
  }
}

function integer(value: number): Buffer {
  if (value >= 0 && value < 256) return Buffer.from([0x4b, value]);
  const bytes = Buffer.alloc(10);
  if (value >= -INT32_LIMIT && value < INT32_LIMIT) {
    bytes.write('J');
    bytes.writeInt32LE(value, 1);
    return bytes.subarray(0, 5);
  }
  bytes.set([0x8a, 8]);
  bytes.writeBigInt64LE(BigInt(value), 2);
  return bytes;
}
