import type { ArgInfo, OpInfo } from '@mezzo/libtorch';
import { isDType } from '../tensor/dtype.ts';
import { TensorHandle } from '../tensor/handle.ts';

/** A random generator as an op argument (the class lives in random/). */
export interface GeneratorHandle {
  readonly generatorHandle: number;
}

export const isGenerator = (value: unknown): value is GeneratorHandle =>
  typeof value === 'object' && value !== null && 'generatorHandle' in value;

/** A schema type taken apart: 'int[2]?' is base int, a list of length 2, optional. */
export interface ArgType {
  readonly text: string;
  readonly base: string;
  readonly list: boolean;
  /** Length of a fixed list; 0 when it is free. */
  readonly length: number;
  readonly optional: boolean;
  readonly optionalElements: boolean;
  /** It crosses to the native side as a handle, or an array of handles. */
  readonly isHandle: boolean;
  /** Which JavaScript values are one element of it. */
  readonly accepts: Predicate;
  /** Among overloads that accept the same value the lowest rank wins: the most specific type. */
  readonly rank: number;
}

type Predicate = (value: unknown) => boolean;

const isInteger: Predicate = (value) => typeof value === 'bigint' || Number.isInteger(value);
const isNumber: Predicate = (value) => typeof value === 'number' || typeof value === 'bigint';
const isString: Predicate = (value) => typeof value === 'string';
const isTensor: Predicate = (value) => value instanceof TensorHandle;
const isBoolean: Predicate = (value) => typeof value === 'boolean';

interface BaseType {
  readonly accepts: Predicate;
  readonly rank: number;
}

const LAYOUTS = new Set(['strided', 'sparse_coo', 'sparse_csr', 'sparse_csc', 'sparse_bsr', 'sparse_bsc']);
const MEMORY_FORMATS = new Set(['contiguous', 'channels_last', 'channels_last_3d', 'preserve']);

/** Which JavaScript values a schema type takes. A type that is not here cannot be marshalled. */
const BASE_TYPES: Record<string, BaseType> = {
  Tensor: { accepts: isTensor, rank: 0 },
  Generator: { accepts: isGenerator, rank: 1 },
  bool: { accepts: isBoolean, rank: 2 },
  int: { accepts: isInteger, rank: 3 },
  float: { accepts: isNumber, rank: 4 },
  Scalar: { accepts: (value) => isNumber(value) || isBoolean(value), rank: 5 },
  dtype: { accepts: (value) => typeof value === 'string' && isDType(value), rank: 6 },
  MemoryFormat: { accepts: (value) => MEMORY_FORMATS.has(value as string), rank: 6 },
  layout: { accepts: (value) => LAYOUTS.has(value as string), rank: 6 },
  Device: {
    accepts: (value) => typeof value === 'string' && /^[a-z]+(:\d+)?$/.test(value) && !isDType(value),
    rank: 7,
  },
  str: { accepts: isString, rank: 8 },
  Dimname: { accepts: isString, rank: 9 },
};

const UNSUPPORTED: BaseType = { accepts: () => false, rank: 10 };

export function parseType(text: string): ArgType {
  const match = /^(\w+)(\?)?(\[(\d*)\])?(\?)?$/.exec(text);
  const base = match?.[1] ?? text;
  const list = match?.[3] !== undefined;
  const optional = (list ? match?.[5] : match?.[2]) !== undefined;
  const { accepts, rank } = BASE_TYPES[base] ?? UNSUPPORTED;
  return {
    text,
    base,
    list,
    length: Number(match?.[4] ?? 0),
    optional,
    optionalElements: list && match?.[2] !== undefined,
    isHandle: base === 'Tensor' || base === 'Generator',
    accepts,
    // A single value is more specific than a list of its type; optional is the least specific.
    rank: rank * 4 + Number(list) * 2 + Number(optional),
  };
}

/** Does a JavaScript value (never undefined) fit the schema type? A lone value fits a list of fixed length. */
export function accepts(type: ArgType, value: unknown): boolean {
  if (value === null) return type.optional;
  const fits = type.accepts;
  if (!type.list) return fits(value);
  if (ArrayBuffer.isView(value)) return type.base !== 'Tensor' && fits(0);
  if (!Array.isArray(value)) return type.length > 0 && fits(value);
  for (const element of value) {
    if (element === null ? !type.optionalElements : !fits(element)) return false;
  }
  return true;
}

export interface Parameter {
  readonly info: ArgInfo;
  readonly type: ArgType;
}

/** One overload of an op, prepared for matching arguments against it. */
export interface Signature {
  readonly op: OpInfo;
  /** 'aten::add.Tensor' */
  readonly label: string;
  readonly parameters: readonly Parameter[];
  /** How many parameters may be given by position. */
  readonly positional: number;
  readonly byName: ReadonlyMap<string, number>;
}

export function signatureOf(op: OpInfo): Signature {
  const parameters = op.args.map((info) => ({ info, type: parseType(info.type) }));
  const firstKeyword = parameters.findIndex(({ info }) => info.kwargOnly);
  return {
    op,
    label: op.overload === '' ? op.name : `${op.name}.${op.overload}`,
    parameters,
    positional: firstKeyword === -1 ? parameters.length : firstKeyword,
    byName: new Map(parameters.map(({ info }, i) => [info.name, i])),
  };
}

/**
 * Overloads in the order they are tried, the most specific first (as PyTorch's argument parser sorts them):
 * results into an `out` argument, dimension names and deprecated forms come last, then by argument types from
 * left to right, then the shorter signature.
 */
export function compareSignatures(a: Signature, b: Signature): number {
  const group = (s: Signature) =>
    Number(s.parameters.some(({ info }) => info.out && info.kwargOnly)) * 4 +
    Number(s.parameters.some(({ type }) => type.base === 'Dimname')) * 2 +
    Number(/deprecated|hacked_twin/.test(s.op.overload));
  if (group(a) !== group(b)) return group(a) - group(b);
  const shared = Math.min(a.positional, b.positional);
  for (let i = 0; i < shared; i++) {
    const difference = a.parameters[i]!.type.rank - b.parameters[i]!.type.rank;
    if (difference !== 0) return difference;
  }
  return (
    a.positional - b.positional || a.parameters.length - b.parameters.length || (a.label < b.label ? -1 : 1)
  );
}

/** What an error calls a value: 'string', 'number[]', 'Tensor'. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (value instanceof TensorHandle) return 'Tensor';
  if (isGenerator(value)) return 'Generator';
  if (Array.isArray(value)) {
    const kinds = [...new Set(value.map(describe))];
    return kinds.length === 1 ? `${kinds[0]}[]` : kinds.length === 0 ? '[]' : `(${kinds.join(' | ')})[]`;
  }
  if (ArrayBuffer.isView(value)) return value.constructor.name;
  if (typeof value === 'number' && !Number.isInteger(value)) return `number ${value}`;
  return typeof value;
}
