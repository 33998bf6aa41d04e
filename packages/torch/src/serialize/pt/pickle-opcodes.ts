import { LIMITS } from './limits.ts';
import { asText, describe, type PickleMachine } from './pickle-machine.ts';
import { PtObject, type PtValue } from './values.ts';

export interface Opcode {
  readonly name: string;
  readonly run: (machine: PickleMachine) => void;
}

/** The newest protocol that PyTorch can be asked for. */
const NEWEST_PROTOCOL = 5;

/**
 * The opcodes of the binary pickle protocols 2 to 5 (Python's pickletools). The text opcodes of protocols 0 and 1 are left
 * out: PyTorch never wrote them. So are INST and OBJ, which make objects by other ways, and the extension registry.
 */
export const OPCODES: ReadonlyMap<number, Opcode> = new Map<number, Opcode>([
  [0x80, { name: 'PROTO', run: (m) => checkProtocol(m, m.take(1)[0]!) }],
  // Frames only say how much to read ahead.
  [0x95, { name: 'FRAME', run: (m) => void m.take(8) }],

  constant('N', 'NONE', null),
  constant(0x88, 'NEWTRUE', true),
  constant(0x89, 'NEWFALSE', false),
  value('J', 'BININT', (m) => m.take(4).readInt32LE()),
  value('K', 'BININT1', (m) => m.take(1)[0]!),
  value('M', 'BININT2', (m) => m.take(2).readUInt16LE()),
  value(0x8a, 'LONG1', (m) => integer(m, m.take(1)[0]!)),
  value(0x8b, 'LONG4', (m) => integer(m, m.take(4).readInt32LE())),
  value('G', 'BINFLOAT', (m) => m.take(8).readDoubleBE()),

  value('X', 'BINUNICODE', (m) => text(m, m.take(4).readUInt32LE())),
  value(0x8c, 'SHORT_BINUNICODE', (m) => text(m, m.take(1)[0]!)),
  value(0x8d, 'BINUNICODE8', (m) => text(m, wideLength(m))),
  // Strings of Python 2.
  value('T', 'BINSTRING', (m) => m.take(positive(m, m.take(4).readInt32LE())).toString('latin1')),
  value('U', 'SHORT_BINSTRING', (m) => m.take(m.take(1)[0]!).toString('latin1')),
  value('B', 'BINBYTES', (m) => Uint8Array.from(m.take(m.take(4).readUInt32LE()))),
  value('C', 'SHORT_BINBYTES', (m) => Uint8Array.from(m.take(m.take(1)[0]!))),
  value(0x8e, 'BINBYTES8', (m) => Uint8Array.from(m.take(wideLength(m)))),
  value(0x96, 'BYTEARRAY8', (m) => Uint8Array.from(m.take(wideLength(m)))),

  value(')', 'EMPTY_TUPLE', () => []),
  value('t', 'TUPLE', (m) => m.popMark()),
  value(0x85, 'TUPLE1', (m) => popSeveral(m, 1)),
  value(0x86, 'TUPLE2', (m) => popSeveral(m, 2)),
  value(0x87, 'TUPLE3', (m) => popSeveral(m, 3)),
  value(']', 'EMPTY_LIST', () => []),
  value('}', 'EMPTY_DICT', () => new Map()),
  value(0x8f, 'EMPTY_SET', () => new Set()),
  value(0x91, 'FROZENSET', (m) => new Set(m.popMark())),
  code('a', 'APPEND', (m) => {
    const item = m.pop();
    append(m, [item]);
  }),
  code('e', 'APPENDS', (m) => append(m, m.popMark())),
  code(0x90, 'ADDITEMS', (m) => addItems(m, m.popMark())),
  code('s', 'SETITEM', (m) => {
    const item = m.pop();
    setItems(m, [m.pop(), item]);
  }),
  code('u', 'SETITEMS', (m) => setItems(m, m.popMark())),

  code('(', 'MARK', (m) => m.mark()),
  code('0', 'POP', (m) => m.drop()),
  code('1', 'POP_MARK', (m) => void m.popMark()),
  code('2', 'DUP', (m) => m.push(m.top())),
  code('q', 'BINPUT', (m) => m.remember(m.take(1)[0]!)),
  code('r', 'LONG_BINPUT', (m) => m.remember(m.take(4).readUInt32LE())),
  code(0x94, 'MEMOIZE', (m) => m.remember(m.memo.size)),
  code('h', 'BINGET', (m) => m.recall(m.take(1)[0]!)),
  code('j', 'LONG_BINGET', (m) => m.recall(m.take(4).readUInt32LE())),

  value('c', 'GLOBAL', (m) => {
    const module = m.line();
    return m.meaning.global(module, m.line());
  }),
  value(0x93, 'STACK_GLOBAL', (m) => {
    const name = asText(m, m.pop(), 'the name of a class');
    return m.meaning.global(asText(m, m.pop(), 'the module of a class'), name);
  }),
  value('R', 'REDUCE', (m) => {
    const args = m.pop();
    return m.meaning.call(m.pop(), args, false);
  }),
  value(0x81, 'NEWOBJ', (m) => {
    const args = m.pop();
    return m.meaning.call(m.pop(), args, true);
  }),
  value(0x92, 'NEWOBJ_EX', (m) => {
    const named = m.pop();
    const args = m.pop();
    if (!Array.isArray(args)) return m.fail('PT_INVALID', `its arguments are ${describe(args)}`);
    m.copying(args.length);
    return m.meaning.call(m.pop(), [...args, named], true);
  }),
  code('b', 'BUILD', (m) => {
    const state = m.pop();
    m.meaning.build(m.top(), state);
  }),
  value('Q', 'BINPERSID', (m) => m.meaning.persistent(m.pop())),
]);

export const STOP = '.'.charCodeAt(0);

/** Opcodes that only a crafted file has: they name code in ways that PyTorch does not. */
export const UNSAFE_OPCODES: ReadonlyMap<number, string> = new Map([
  ['i'.charCodeAt(0), 'INST'],
  ['o'.charCodeAt(0), 'OBJ'],
  [0x82, 'EXT1'],
  [0x83, 'EXT2'],
  [0x84, 'EXT4'],
]);

function code(byte: string | number, name: string, run: Opcode['run']): [number, Opcode] {
  return [typeof byte === 'string' ? byte.charCodeAt(0) : byte, { name, run }];
}

function value(
  byte: string | number,
  name: string,
  make: (machine: PickleMachine) => PtValue,
): [number, Opcode] {
  return code(byte, name, (machine) => machine.push(make(machine)));
}

function constant(byte: string | number, name: string, result: PtValue): [number, Opcode] {
  return value(byte, name, () => result);
}

function checkProtocol(machine: PickleMachine, protocol: number): void {
  if (protocol > NEWEST_PROTOCOL) {
    machine.fail(
      'PT_UNSUPPORTED',
      `its pickle is of protocol ${protocol}; the newest known is ${NEWEST_PROTOCOL}`,
    );
  }
}

/** Two's complement, little endian. */
function integer(machine: PickleMachine, length: number): number | bigint {
  if (length < 0 || length > LIMITS.integerBytes)
    machine.fail('PT_LIMIT', `a whole number of ${length} bytes`);
  if (length === 0) return 0;
  // By way of hexadecimal digits, whose time grows with the length; shifting byte by byte, with its square.
  const digits = Buffer.from(machine.take(length)).reverse().toString('hex');
  const signed = BigInt.asIntN(8 * length, BigInt(`0x${digits}`));
  const plain = Number(signed);
  return Number.isSafeInteger(plain) ? plain : signed;
}

function text(machine: PickleMachine, length: number): string {
  return machine.take(length).toString('utf8');
}

function positive(machine: PickleMachine, length: number): number {
  return length >= 0 ? length : machine.fail('PT_INVALID', `a string of ${length} bytes`);
}

function wideLength(machine: PickleMachine): number {
  return Number(machine.take(8).readBigUInt64LE());
}

function popSeveral(machine: PickleMachine, count: number): PtValue[] {
  const values: PtValue[] = [];
  for (let i = 0; i < count; i++) values.push(machine.pop());
  return values.reverse();
}

function append(machine: PickleMachine, items: readonly PtValue[]): void {
  const target = machine.top();
  const list = target instanceof PtObject ? target.list : target;
  if (!Array.isArray(list)) machine.fail('PT_INVALID', `it appends to ${describe(target)}`);
  for (const item of items) list.push(item);
}

function addItems(machine: PickleMachine, items: readonly PtValue[]): void {
  const target = machine.top();
  if (!(target instanceof Set)) machine.fail('PT_INVALID', `it adds to ${describe(target)}`);
  for (const item of items) target.add(item);
}

function setItems(machine: PickleMachine, pairs: readonly PtValue[]): void {
  const target = machine.top();
  const map = target instanceof PtObject ? target.entries : target;
  if (!(map instanceof Map)) machine.fail('PT_INVALID', `it sets items of ${describe(target)}`);
  if (pairs.length % 2 === 1) machine.fail('PT_INVALID', 'it sets a key without a value');
  for (let i = 0; i < pairs.length; i += 2) map.set(pairs[i]!, pairs[i + 1]!);
}
