import { native } from '@mezzo/libtorch';
import { scope, type Tensor } from '@mezzo/torch';
import {
  type Attributes,
  ELEMENT_TYPES,
  type ElementType,
  nodeMessage,
  tensorMessage,
} from './onnx-messages.ts';
import type { Message } from './protobuf.ts';

/** Name of a tensor in the graph. */
export type Value = string;

/** Collects the nodes and constants of an ONNX graph, in the order in which they are to run. */
export class Graph {
  readonly nodes: Message[] = [];
  readonly initialisers: Message[] = [];
  /** Element type in which weights are kept and the network computes. */
  readonly precision: 'float32' | 'float16';
  readonly #constants = new Map<string, Value>();
  readonly #names = new Map<string, number>();
  #path = '';

  readonly #onWeight: (name: string, tensor: Tensor) => void;

  /** @param onWeight sees every weight before it is brought to the precision */
  constructor(precision: 'float32' | 'float16', onWeight: (name: string, tensor: Tensor) => void = () => {}) {
    this.precision = precision;
    this.#onWeight = onWeight;
  }

  /** Names the nodes that `fn` adds after a part of the network: `model.22.cv2`. */
  within<T>(path: string, fn: () => T): T {
    const outer = this.#path;
    this.#path = path;
    try {
      return fn();
    } finally {
      this.#path = outer;
    }
  }

  /** Adds a node with one output. */
  add(type: string, inputs: readonly Value[], attributes: Attributes = {}): Value {
    return this.addMany(type, inputs, 1, attributes)[0]!;
  }

  addMany(type: string, inputs: readonly Value[], outputs: number, attributes: Attributes = {}): Value[] {
    const name = this.unique(`${this.#path === '' ? '' : `/${this.#path.replaceAll('.', '/')}`}/${type}`);
    const values = Array.from({ length: outputs }, (_, i) => `${name}_output_${i}`);
    this.nodes.push(nodeMessage({ name, type, inputs, outputs: values, attributes }));
    return values;
  }

  /** A weight, in the network's precision. */
  weight(name: string, tensor: Tensor): Value {
    this.#onWeight(name, tensor);
    const bytes = scope(() => {
      const plain = tensor.detach().cpu().to(this.precision).contiguous();
      return new Uint8Array(native().bytesView(plain.handle)).slice();
    });
    this.initialisers.push(tensorMessage(name, this.precision, tensor.shape, bytes));
    return name;
  }

  /** Gives a value a second name. */
  name(value: Value, name: string): void {
    const node = { name: `/${name}`, type: 'Identity', inputs: [value], outputs: [name], attributes: {} };
    this.nodes.push(nodeMessage(node));
  }

  /** Whole numbers, such as a shape; a list unless `scalar`. Equal ones are kept once. */
  integers(values: readonly number[], kind: 'list' | 'scalar' = 'list'): Value {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    const shape = kind === 'list' ? [values.length] : [];
    return this.constant(
      `${kind === 'list' ? 'int' : 'int_scalar'}_${values.join('_')}`,
      'int64',
      shape,
      bytes,
    );
  }

  /** One fp32 number of shape []. */
  number(value: number): Value {
    return this.constant(`float_${value}`, 'float32', [], new Uint8Array(Float32Array.of(value).buffer));
  }

  floats(name: string, values: Float32Array, shape: readonly number[]): Value {
    return this.constant(
      name,
      'float32',
      shape,
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
  }

  cast(value: Value, type: ElementType): Value {
    return this.add('Cast', [value], { to: ELEMENT_TYPES[type] });
  }

  /** Splits along an axis into parts of the given sizes. */
  split(value: Value, sizes: readonly number[], axis: number): Value[] {
    return this.addMany('Split', [value, this.integers(sizes)], sizes.length, { axis });
  }

  /** `shape` as in ONNX: 0 keeps the input's size, -1 is what remains. */
  reshape(value: Value, shape: readonly number[]): Value {
    return this.add('Reshape', [value, this.integers(shape)]);
  }

  /** The size of one dimension of a value, as an integer of shape []. */
  sizeOf(value: Value, dimension: number): Value {
    return this.add('Gather', [this.add('Shape', [value]), this.integers([dimension], 'scalar')], {
      axis: 0,
    });
  }

  private constant(name: string, type: ElementType, shape: readonly number[], bytes: Uint8Array): Value {
    const known = this.#constants.get(name);
    if (known !== undefined) return known;
    this.initialisers.push(tensorMessage(name, type, shape, bytes));
    this.#constants.set(name, name);
    return name;
  }

  private unique(name: string): string {
    const count = this.#names.get(name) ?? 0;
    this.#names.set(name, count + 1);
    return count === 0 ? name : `${name}_${count}`;
  }
}
