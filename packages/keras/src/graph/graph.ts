import type { Tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import type { AnyLayer, CallOptions, Layer, LayerInputs } from '../layers/layer.ts';
import { KerasTensor } from './keras-tensor.ts';

/** The layers between symbolic inputs and outputs, in an order in which they can run. */
export class Graph {
  readonly inputs: readonly KerasTensor[];
  readonly outputs: readonly KerasTensor[];
  /** Each call of a layer, after those it depends on. */
  readonly nodes: readonly KerasTensor[];
  /** Inputs and layers, each once, in Keras's order: farthest from the output first. */
  readonly entries: readonly (AnyLayer | KerasTensor)[];

  /** @throws KerasError BAD_OPTION when an output depends on an input that is not named */
  constructor(inputs: readonly KerasTensor[], outputs: readonly KerasTensor[]) {
    this.inputs = inputs;
    this.outputs = outputs;
    const met: (AnyLayer | KerasTensor)[] = [];
    this.nodes = ordered(inputs, outputs, met);
    const depths = new Map<AnyLayer | KerasTensor, number>();
    const deepen = (entry: AnyLayer | KerasTensor, depth: number) =>
      depths.set(entry, Math.max(depths.get(entry) ?? 0, depth));
    for (const node of [...this.nodes].reverse()) {
      const { layer, inputs: from } = node.origin!;
      const depth = depths.get(node) ?? 0;
      deepen(layer, depth);
      for (const input of from) deepen(input, depth + 1);
    }
    // Of equal depth, the one that is met first on the way back from the outputs.
    this.entries = met.toSorted(
      (a, b) => (depths.get(b) ?? 0) - (depths.get(a) ?? 0) || met.indexOf(a) - met.indexOf(b),
    );
  }

  get layers(): AnyLayer[] {
    return this.entries.filter((entry): entry is AnyLayer => !(entry instanceof KerasTensor));
  }

  /** Names of what a layer is called on. */
  sourcesOf(layer: AnyLayer): string[] {
    return this.nodes
      .filter(({ origin }) => origin!.layer === layer)
      .flatMap(({ origin }) => origin!.inputs.map(({ name }) => name));
  }

  /** The outputs for these inputs. */
  run(inputs: readonly Tensor[], options: CallOptions): Tensor[] {
    const values = new Map<KerasTensor, Tensor>(this.inputs.map((input, i) => [input, inputs[i]!]));
    for (const node of this.nodes) {
      const { layer, inputs: from } = node.origin!;
      const given = from.map((input) => values.get(input)!);
      values.set(node, callLayer(layer, given, options));
    }
    return this.outputs.map((output) => values.get(output)!);
  }
}

/** A layer on its inputs: as a list where it takes one. */
function callLayer(layer: AnyLayer, inputs: readonly Tensor[], options: CallOptions): Tensor {
  const typed = layer as unknown as Layer<LayerInputs>;
  return typed.call(layer.takesList ? inputs : inputs[0]!, options);
}

/** Calls of layers, each after those it needs; `met` gets layers and inputs in the order of the way back. */
function ordered(
  inputs: readonly KerasTensor[],
  outputs: readonly KerasTensor[],
  met: (AnyLayer | KerasTensor)[],
): KerasTensor[] {
  const known = new Set(inputs);
  const found = new Set<KerasTensor>();
  const visit = (node: KerasTensor): void => {
    if (known.has(node) && !met.includes(node)) met.push(node);
    if (known.has(node) || found.has(node)) return;
    if (node.origin === null) {
      throw new KerasError(
        'BAD_OPTION',
        `Model: the outputs depend on the input '${node.name}', which is not among the inputs`,
      );
    }
    if (!met.includes(node.origin.layer)) met.push(node.origin.layer);
    for (const input of node.origin.inputs) visit(input);
    found.add(node);
  };
  for (const output of outputs) visit(output);
  return [...found];
}
