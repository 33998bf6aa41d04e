import type { nn, Tensor } from '@mezzo/torch';
import { checkOptions, KerasError } from '../errors.ts';
import { KerasTensor } from '../graph/keras-tensor.ts';
import type { Shape } from '../graph/shape.ts';
import {
  type AnyLayer,
  type CallOptions,
  LAYER_OPTIONS,
  type Layer,
  type LayerInputs,
  type LayerOptions,
  type ShapeOf,
} from '../layers/layer.ts';
import { counted, Model } from './model.ts';

type Entry = KerasTensor | Layer | Model;

/** A chain of layers (keras.Sequential). Without an `Input` at its head it is built by the first data it sees. */
export class Sequential extends Model {
  readonly #chain: Layer[] = [];
  #input: KerasTensor | null = null;
  #builtFor: Shape | null = null;

  constructor(entries: readonly Entry[] = [], options: LayerOptions = {}) {
    checkOptions('Sequential', options, LAYER_OPTIONS);
    super(options);
    for (const entry of entries) this.add(entry);
  }

  /** Appends a layer. @throws KerasError BAD_OPTION for an Input that does not come first */
  add(entry: Entry): void {
    if (entry instanceof KerasTensor) {
      if (this.#chain.length > 0 || this.#input !== null) {
        throw new KerasError('BAD_OPTION', `model '${this.name}': an Input can only be the first entry`);
      }
      this.#input = entry;
      return;
    }
    const layer = entry as Layer;
    this.#chain.push(layer);
    this.built = false;
    const before = this.#input;
    if (before !== null) this.ensureBuilt(before.shape);
  }

  /** Takes the last layer off and returns it. @throws KerasError BAD_OPTION when there is none */
  pop(): Layer {
    const layer = this.#chain.pop();
    if (layer === undefined)
      throw new KerasError('BAD_OPTION', `model '${this.name}': there is no layer to pop`);
    this.outputShape = this.#chain.at(-1)?.outputShape ?? null;
    return layer;
  }

  override get layers(): AnyLayer[] {
    return this.#chain as unknown as AnyLayer[];
  }

  override get knowsShapes(): boolean {
    return true;
  }

  override get outputLayers(): AnyLayer[] {
    return this.layers.slice(-1);
  }

  protected override *ownChildren(): Generator<[name: string, module: nn.Module]> {
    yield* counted(this.layers);
  }

  /** The shape it was built for; null before. */
  get inputShape(): Shape | null {
    return this.#builtFor;
  }

  override computeOutputShape(inputShape: ShapeOf<LayerInputs>): Shape {
    return this.#chain.reduce((shape, layer) => layer.computeOutputShape(shape), inputShape as Shape);
  }

  protected override build(inputShape: ShapeOf<LayerInputs>): void {
    let shape = inputShape as Shape;
    this.#builtFor = shape;
    for (const layer of this.#chain) {
      const next = layer.computeOutputShape(shape);
      layer.ensureBuilt(shape);
      layer.outputShape = next;
      shape = next;
    }
    this.outputShape = shape;
  }

  protected override compute(inputs: LayerInputs, options: Required<CallOptions>): Tensor {
    return this.#chain.reduce((x, layer) => layer.call(x, options), inputs as Tensor);
  }
}
