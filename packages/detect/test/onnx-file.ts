import { type Tensor, tensor } from '@mezzo/torch';

/** A reader of ONNX files that shares nothing with the writer: the wire format, then the fields of onnx.proto by number. */

type Fields = Map<number, (bigint | Uint8Array)[]>;

function fieldsOf(bytes: Uint8Array): Fields {
  const fields: Fields = new Map();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = view.getUint8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const kind = key & 7;
    let value: bigint | Uint8Array;
    if (kind === 0) value = varint();
    else {
      const length = kind === 5 ? 4 : kind === 2 ? Number(varint()) : Number.NaN;
      if (!(at + length <= bytes.length))
        throw new Error(`field ${key >> 3}: wire type ${kind}, ${length} bytes`);
      value = bytes.subarray(at, at + length);
      at += length;
    }
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  return fields;
}

const messages = (fields: Fields, number: number): Fields[] =>
  (fields.get(number) ?? []).map((bytes) => fieldsOf(bytes as Uint8Array));
const texts = (fields: Fields, number: number): string[] =>
  (fields.get(number) ?? []).map((bytes) => new TextDecoder().decode(bytes as Uint8Array));
const integers = (fields: Fields, number: number): number[] =>
  (fields.get(number) ?? []).map((value) => Number(BigInt.asIntN(64, value as bigint)));

export type Attribute = number | string | number[];

export interface OnnxNode {
  name: string;
  type: string;
  inputs: string[];
  outputs: string[];
  attributes: Record<string, Attribute>;
}

export interface OnnxValue {
  name: string;
  type: string;
  shape: (number | string)[];
}

export interface OnnxFile {
  ir: number;
  opset: number;
  producer: string;
  nodes: OnnxNode[];
  weights: Record<string, Tensor>;
  inputs: OnnxValue[];
  outputs: OnnxValue[];
  metadata: Record<string, string>;
}

export const TYPES: Readonly<Record<number, 'float32' | 'int64' | 'float16'>> = {
  1: 'float32',
  7: 'int64',
  10: 'float16',
};

function attributeOf(fields: Fields): [string, Attribute] {
  const [name = ''] = texts(fields, 1);
  const [type] = integers(fields, 20);
  if (type === 1) return [name, Buffer.from(fields.get(2)![0] as Uint8Array).readFloatLE()];
  if (type === 2) return [name, integers(fields, 3)[0]!];
  if (type === 3) return [name, texts(fields, 4)[0]!];
  if (type === 7) return [name, integers(fields, 8)];
  throw new Error(`attribute ${name} of type ${type}`);
}

function tensorOf(fields: Fields): [string, Tensor] {
  const [name = ''] = texts(fields, 8);
  const shape = integers(fields, 1);
  const type = TYPES[integers(fields, 2)[0]!];
  const { buffer } = Uint8Array.from(fields.get(9)![0] as Uint8Array);
  if (type === 'float32') return [name, tensor(new Float32Array(buffer), { shape })];
  if (type === 'int64') return [name, tensor(new BigInt64Array(buffer), { shape })];
  const halves = Float32Array.from(new Uint16Array(buffer), halfToNumber);
  return [name, tensor(halves, { shape }).half()];
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

function valueInfo(fields: Fields): OnnxValue {
  const [type] = messages(messages(fields, 2)[0]!, 1);
  const dimensions = messages(messages(type!, 2)[0]!, 1);
  return {
    name: texts(fields, 1)[0]!,
    type: TYPES[integers(type!, 1)[0]!]!,
    shape: dimensions.map((dimension) => integers(dimension, 1)[0] ?? texts(dimension, 2)[0]!),
  };
}

export function readOnnx(chunks: readonly Uint8Array[]): OnnxFile {
  const model = fieldsOf(Buffer.concat(chunks));
  const [graph] = messages(model, 7);
  return {
    ir: integers(model, 1)[0]!,
    opset: integers(messages(model, 8)[0]!, 2)[0]!,
    producer: texts(model, 2)[0]!,
    nodes: messages(graph!, 1).map((node) => ({
      name: texts(node, 3)[0]!,
      type: texts(node, 4)[0]!,
      inputs: texts(node, 1),
      outputs: texts(node, 2),
      attributes: Object.fromEntries(messages(node, 5).map(attributeOf)),
    })),
    weights: Object.fromEntries(messages(graph!, 5).map(tensorOf)),
    inputs: messages(graph!, 11).map(valueInfo),
    outputs: messages(graph!, 12).map(valueInfo),
    metadata: Object.fromEntries(
      messages(model, 14).map((entry) => [texts(entry, 1)[0]!, texts(entry, 2)[0] ?? '']),
    ),
  };
}
