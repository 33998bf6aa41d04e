import type { nn, Tensor } from '@mezzo/torch';
import { checkOptions, KerasError, snakeCase } from '../errors.ts';
import { Graph } from '../graph/graph.ts';
import type { KerasTensor } from '../graph/keras-tensor.ts';
import { fits, type Shape, shapeMismatch, shapeText } from '../graph/shape.ts';
import {
  type AnyLayer,
  type CallOptions,
  LAYER_OPTIONS,
  Layer,
  type LayerInputs,
  type LayerOptions,
  type ShapeOf,
} from '../layers/layer.ts';
import { Compiled, type CompileOptions } from '../training/compile.ts';
import type { Data } from '../training/data.ts';
import { type EvaluateOptions, evaluate } from '../training/evaluate.ts';
import { type FitOptions, fit } from '../training/fit.ts';
import type { History } from '../training/history.ts';
import { type PredictOptions, predict } from '../training/predict.ts';
import { warnOfHalfSoftmax } from './half-softmax.ts';
import { type SummaryOptions, summary } from './summary.ts';
import { loadWeights, saveWeights, setWeights } from './weights.ts';

export interface ModelOptions extends LayerOptions {
  /** Where the graph begins and ends; left out by a subclass that overrides `compute`. */
  inputs?: KerasTensor | readonly KerasTensor[];
  outputs?: KerasTensor | readonly KerasTensor[];
}

/**
 * A model (keras.Model): a graph of layers from `inputs` to `outputs`, or a subclass with layers as properties and a
 * `compute` of its own; with `compile`, `fit`, `evaluate` and `predict`. It is a layer itself, and a PyTorch module.
 */
export class Model extends Layer<LayerInputs> {
  /** The graph of a functional model. */
  graph: Graph | null = null;
  #compiled: Compiled | null = null;
  /** Set by a callback: training ends after this epoch. */
  stopTraining = false;

  /** @throws KerasError BAD_OPTION for a graph that is not connected */
  constructor(options: ModelOptions = {}) {
    checkOptions('Model', options, [...LAYER_OPTIONS, 'inputs', 'outputs']);
    const { inputs, outputs, ...rest } = options;
    super(rest);
    if ((inputs === undefined) !== (outputs === undefined)) {
      throw new KerasError('BAD_OPTION', `model '${this.name}': inputs and outputs belong together`);
    }
    if (inputs !== undefined && outputs !== undefined) this.connect(listOf(inputs), listOf(outputs));
  }

  /** Takes the graph over; its layers are built. */
  protected connect(inputs: readonly KerasTensor[], outputs: readonly KerasTensor[]): void {
    if (outputs.length !== 1) {
      throw new KerasError(
        'BAD_OPTION',
        `model '${this.name}': it must have one output, not ${outputs.length}`,
        'join outputs with Concatenate, or call two models in a training loop of your own',
      );
    }
    this.graph = new Graph(inputs, outputs);
    this.built = true;
    this.outputShape = outputs[0]!.shape;
  }

  protected override readonly keepsIntegers = true;

  /** Layers of a graph cast for themselves, so that the first one sees the data; a `compute` of one's own is a layer's. */
  protected override castInput(input: Tensor): Tensor {
    return this.knowsShapes ? input : super.castInput(input);
  }

  // --- as a layer ------------------------------------------------------------------------------------------

  override get takesList(): boolean {
    return this.graph !== null && this.graph.inputs.length > 1;
  }

  /** Whether shapes follow from the layers, without running the model. */
  get knowsShapes(): boolean {
    return this.graph !== null;
  }

  /** The layers that make the outputs. */
  get outputLayers(): AnyLayer[] {
    return this.graph?.outputs.flatMap(({ origin }) => origin?.layer ?? []) ?? [];
  }

  /** The layers of the graph, in Keras's order; those held as properties without one. */
  get layers(): AnyLayer[] {
    return this.graph === null ? super.sublayers() : this.graph.layers;
  }

  protected override sublayers(): AnyLayer[] {
    return this.layers;
  }

  /** Under the names that their weights have in a file: given ones, else counted within the model. */
  protected override *ownChildren(): Generator<[name: string, module: nn.Module]> {
    if (this.graph === null) yield* super.ownChildren();
    else yield* counted(this.layers);
  }

  /** @throws KerasError SHAPE_MISMATCH for inputs that are not those of the graph */
  override computeOutputShape(inputShape: ShapeOf<LayerInputs>): Shape {
    const { graph } = this;
    if (graph === null) return super.computeOutputShape(inputShape);
    const given = (this.takesList ? inputShape : [inputShape]) as readonly Shape[];
    if (given.length !== graph.inputs.length) {
      throw new KerasError(
        'SHAPE_MISMATCH',
        `model '${this.name}': expected ${graph.inputs.length} inputs, but got ${given.length}`,
      );
    }
    graph.inputs.forEach(({ shape, name }, i) => {
      if (fits(shape, given[i]!)) return;
      throw shapeMismatch(`${this.name}: ${name}`, `shape ${shapeText(shape)}`, given[i]!);
    });
    return graph.outputs[0]!.shape;
  }

  protected override compute(inputs: LayerInputs, options: Required<CallOptions>): Tensor {
    if (this.graph === null) {
      throw new KerasError(
        'NOT_READY',
        `model '${this.name}': it has neither a graph nor a compute of its own`,
      );
    }
    return this.graph.run(listOf(inputs), options)[0]!;
  }

  // --- training --------------------------------------------------------------------------------------------

  /**
   * Chooses optimizer, loss and metrics, by id or object.
   * @throws KerasError UNKNOWN_ID offering the nearest ids
   */
  compile(options: CompileOptions = {}): void {
    this.#compiled = new Compiled(this, options);
    warnOfHalfSoftmax(this);
  }

  /** @throws KerasError NOT_READY before `compile` */
  get compiled(): Compiled {
    if (this.#compiled !== null) return this.#compiled;
    throw new KerasError('NOT_READY', `model '${this.name}': call compile before it is trained or evaluated`);
  }

  /** Trains; each step is a transaction (see `fit`). */
  fit(options: FitOptions): Promise<History> {
    return fit(this, options);
  }

  /** Loss and metrics on data, by name. */
  evaluate(options: EvaluateOptions): Promise<Record<string, number>> {
    return evaluate(this, options);
  }

  /** The outputs for data, batch by batch, as one tensor on the CPU. */
  predict(x: Data | readonly Data[], options: PredictOptions = {}): Promise<Tensor> {
    return predict(this, x, options);
  }

  // --- weights ---------------------------------------------------------------------------------------------

  /** Copies of all variables, in the order of `weights`. */
  getWeights(): Tensor[] {
    return this.weights.map((weight) => weight.detach().clone());
  }

  /** @throws KerasError SHAPE_MISMATCH when number or shapes differ; nothing is changed then */
  setWeights(values: readonly Data[]): void {
    setWeights(this, values);
  }

  /** Writes the variables as safetensors, under paths such as `dense/kernel`. */
  saveWeights(file: string): void {
    saveWeights(this, file);
  }

  /** @throws KerasError BAD_WEIGHTS when names or shapes are not this model's; nothing is changed then */
  loadWeights(file: string): void {
    loadWeights(this, file);
  }

  /** The table of the layers as Keras prints it; also written to `writer` where one is given. */
  summary(options: SummaryOptions = {}): string {
    return summary(this, options);
  }
}

export const listOf = <T>(value: T | readonly T[]): readonly T[] =>
  (Array.isArray(value) ? value : [value]) as readonly T[];

/** A given name stays; others are counted here, so that weights fit whatever was made before. */
export function* counted(layers: readonly AnyLayer[]): Generator<[name: string, layer: AnyLayer]> {
  const taken = new Set(layers.filter(({ named }) => named).map(({ name }) => name));
  const counts = new Map<string, number>();
  for (const layer of layers) {
    if (layer.named) {
      yield [layer.name, layer];
      continue;
    }
    const base = snakeCase(layer.constructor.name);
    let name: string;
    do {
      const count = counts.get(base) ?? 0;
      counts.set(base, count + 1);
      name = count === 0 ? base : `${base}_${count}`;
    } while (taken.has(name));
    yield [name, layer];
  }
}
