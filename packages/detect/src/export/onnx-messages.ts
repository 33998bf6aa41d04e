import { Message } from './protobuf.ts';

// The messages of onnx.proto that a detector needs; the numbers are its field numbers.

/** Element types, by the number of `TensorProto.DataType`. */
export const ELEMENT_TYPES = { float32: 1, int64: 7, bool: 9, float16: 10 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

export type AttributeValue = number | string | readonly number[] | { readonly float: number };
export type Attributes = Readonly<Record<string, AttributeValue>>;

const FLOAT = 1;
const INT = 2;
const STRING = 3;
const INTS = 7;

/** Whole numbers are INT, `{ float }` is FLOAT. */
function attribute(name: string, value: AttributeValue): Message {
  const message = new Message().content(1, name);
  if (typeof value === 'number') return message.integer(3, value).integer(20, INT);
  if (typeof value === 'string') return message.content(4, value).integer(20, STRING);
  if ('float' in value) return message.float(2, value.float).integer(20, FLOAT);
  for (const item of value) message.integer(8, item);
  return message.integer(20, INTS);
}

export function nodeMessage(node: {
  name: string;
  type: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Attributes;
}): Message {
  const message = new Message();
  for (const input of node.inputs) message.content(1, input);
  for (const output of node.outputs) message.content(2, output);
  message.content(3, node.name).content(4, node.type);
  for (const [name, value] of Object.entries(node.attributes)) message.content(5, attribute(name, value));
  return message;
}

/** @param bytes the elements, row by row, little-endian */
export function tensorMessage(
  name: string,
  type: ElementType,
  shape: readonly number[],
  bytes: Uint8Array,
): Message {
  const message = new Message();
  for (const size of shape) message.integer(1, size);
  return message.integer(2, ELEMENT_TYPES[type]).content(8, name).content(9, bytes);
}

/** A dimension is a size, or the name of one that is only known when the graph runs. */
export type Dimension = number | string;

/** An input or output of the graph. */
export function valueMessage(name: string, type: ElementType, shape: readonly Dimension[]): Message {
  const shapeMessage = new Message();
  for (const size of shape) {
    const dimension = new Message();
    shapeMessage.content(
      1,
      typeof size === 'number' ? dimension.integer(1, size) : dimension.content(2, size),
    );
  }
  const tensor = new Message().integer(1, ELEMENT_TYPES[type]).content(2, shapeMessage);
  return new Message().content(1, name).content(2, new Message().content(1, tensor));
}

export interface ModelParts {
  readonly name: string;
  readonly opset: number;
  readonly producer: string;
  readonly producerVersion: string;
  readonly nodes: readonly Message[];
  readonly initialisers: readonly Message[];
  readonly inputs: readonly Message[];
  readonly outputs: readonly Message[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** The file format's version that came with an operator set, so that an old run time takes an old set. */
const irVersion = (opset: number): number => (opset <= 18 ? 8 : opset <= 20 ? 9 : 10);

export function modelMessage(parts: ModelParts): Message {
  const graph = new Message();
  for (const node of parts.nodes) graph.content(1, node);
  graph.content(2, parts.name);
  for (const tensor of parts.initialisers) graph.content(5, tensor);
  for (const input of parts.inputs) graph.content(11, input);
  for (const output of parts.outputs) graph.content(12, output);
  const model = new Message()
    .integer(1, irVersion(parts.opset))
    .content(2, parts.producer)
    .content(3, parts.producerVersion)
    .content(7, graph)
    .content(8, new Message().content(1, '').integer(2, parts.opset));
  for (const [key, value] of Object.entries(parts.metadata)) {
    model.content(14, new Message().content(1, key).content(2, value));
  }
  return model;
}
