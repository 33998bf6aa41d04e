import { type DType, keep, nn, noGrad, scope, Tensor } from '@mezzo/torch';
import type { Activation } from '../activations.ts';
import { device as chosenDevice } from '../config.ts';
import { checkOptions, KerasError } from '../errors.ts';
import { KerasTensor } from '../graph/keras-tensor.ts';
import { anyBatch, type Shape } from '../graph/shape.ts';
import { asInitializer, type InitializerId } from '../initializers/index.ts';
import { autoName } from '../naming.ts';
import { computeDtypeOn } from '../policy/on-device.ts';
import { asPolicy, type Policy } from '../policy/policy.ts';
import { asRegularizer, type Regularizer, type RegularizerId } from '../regularizers.ts';

export interface LayerOptions {
  name?: string;
  /** The layer's policy or its name; default: the global policy at this moment. */
  dtype?: Policy | string;
  trainable?: boolean;
}

export interface CallOptions {
  /** Training or inference (dropout, batch statistics). Default false, as in Keras. */
  training?: boolean;
}

/** What a layer takes: one tensor, or several at once (Add, Concatenate, attention). */
export type LayerInputs = Tensor | readonly Tensor[];
export type SymbolOf<I> = I extends Tensor ? KerasTensor : readonly KerasTensor[];
export type ShapeOf<I> = I extends Tensor ? Shape : readonly Shape[];

export type AnyLayer = Layer<never>;

interface WeightOptions {
  initializer?: InitializerId;
  regularizer?: RegularizerId | null;
  /** A convolution's kernel: its memory in the order [out, window, in], which channels_last kernels read. */
  outputsFirst?: boolean;
}

/** The options of every layer, beside its own. */
export const LAYER_OPTIONS = ['name', 'dtype', 'trainable'] as const;

/**
 * Base of all layers (keras.layers.Layer). A subclass makes its variables in `build` and computes in `compute`
 * (Keras's `call`), reading variables through `value`, which casts them. `call` is Keras's `layer(x)`: on a
 * tensor it builds on first use, casts and computes; on a symbolic tensor it extends a functional model.
 */
export abstract class Layer<I extends LayerInputs = Tensor> extends nn.Module {
  readonly name: string;
  /** Whether the name was given or made from the class. */
  readonly named: boolean;
  readonly dtypePolicy: Policy;
  /** What it computes in on its device: the policy's, or what runs there instead. */
  readonly computeDtype: DType;
  built = false;
  /** Shape of the output at the last symbolic call or build; for `summary`. */
  outputShape: Shape | null = null;
  /** Integer tensors pass as they are instead of being cast to the compute dtype. */
  protected readonly keepsIntegers: boolean = false;
  readonly #regularized: (readonly [regularizer: Regularizer, weight: nn.Parameter])[] = [];
  #trainable: boolean;
  /** Where variables are made. */
  readonly #device = chosenDevice();

  /** @throws KerasError UNKNOWN_ID for a policy or an option that is not known */
  constructor(options: LayerOptions = {}, ownOptions: readonly string[] = []) {
    super();
    this.named = options.name !== undefined;
    this.name = options.name ?? autoName(new.target.name);
    checkOptions(`layer '${this.name}'`, options, [...LAYER_OPTIONS, ...ownOptions]);
    this.dtypePolicy = asPolicy(options.dtype);
    this.computeDtype = computeDtypeOn(this.dtypePolicy, this.#device);
    this.#trainable = options.trainable ?? true;
  }

  /** Where it computes: with its variables, which `to` may have moved. */
  get device(): string {
    return this.home() ?? this.#device;
  }

  private home(): string | undefined {
    for (const [, { device }] of this.namedParameters()) return device;
    return undefined;
  }

  // --- what a subclass says --------------------------------------------------------------------------------

  /** Makes the variables for inputs of this shape; runs once. */
  protected build(_inputShape: ShapeOf<I>): void {}

  /** The forward pass; inputs are cast already. */
  protected abstract compute(inputs: I, options: Required<CallOptions>): Tensor;

  /** @throws KerasError SHAPE_MISMATCH for inputs that the layer cannot take */
  computeOutputShape(inputShape: ShapeOf<I>): Shape {
    return inputShape as Shape;
  }

  /** The dtype of the output, given that of the first input. */
  computeOutputDtype(_input: DType): DType {
    return this.computeDtype;
  }

  /** The activation that the output comes from, where there is one. */
  get outputActivation(): Activation | null {
    return null;
  }

  // --- use -------------------------------------------------------------------------------------------------

  /** Keras's `layer(inputs)`. @throws KerasError SHAPE_MISMATCH naming layer, expected and given */
  call(inputs: I, options?: CallOptions): Tensor;
  call(inputs: SymbolOf<I>): KerasTensor;
  call(inputs: I | SymbolOf<I>, { training = false }: CallOptions = {}): Tensor | KerasTensor {
    const list = (Array.isArray(inputs) ? inputs : [inputs]) as readonly unknown[];
    if (list.every((input): input is KerasTensor => input instanceof KerasTensor)) return this.symbolic(list);
    if (!list.every((input) => input instanceof Tensor)) {
      throw new KerasError('BAD_DATA', `layer '${this.name}': expected tensors, got ${typeOf(list)}`);
    }
    return this.forward(inputs as I, { training });
  }

  /** The same as a PyTorch module: the mode is that of `train()` and `eval()` unless it is given. */
  override forward(inputs: I, { training = this.training }: CallOptions = {}): Tensor {
    const cast = (
      Array.isArray(inputs) ? inputs.map((input) => this.castInput(input)) : this.castInput(inputs as Tensor)
    ) as I;
    const shapes = (Array.isArray(cast) ? cast.map(shapeOf) : shapeOf(cast as Tensor)) as ShapeOf<I>;
    this.computeOutputShape(shapes);
    this.ensureBuilt(shapes);
    return this.compute(cast, { training });
  }

  /** Makes the variables now. @throws KerasError SHAPE_MISMATCH */
  ensureBuilt(inputShape: ShapeOf<I>): void {
    if (this.built) return;
    // Variables outlive the step in which they are made.
    scope(() => noGrad(() => this.build(inputShape)));
    this.built = true;
    if (!this.#trainable) this.trainable = false;
  }

  private symbolic(inputs: readonly KerasTensor[]): KerasTensor {
    const one = inputs.length === 1 && !this.takesList;
    const shapes = (one ? inputs[0]!.shape : inputs.map(({ shape }) => shape)) as ShapeOf<I>;
    const shape = this.computeOutputShape(shapes);
    this.ensureBuilt(shapes);
    this.outputShape = shape;
    return new KerasTensor(shape, this.computeOutputDtype(inputs[0]!.dtype), this.name, {
      layer: this as unknown as AnyLayer,
      inputs,
    });
  }

  /** Whether `compute` takes a list. */
  get takesList(): boolean {
    return false;
  }

  /** An input where and in what the layer computes. */
  protected castInput(input: Tensor): Tensor {
    // A layer without variables computes where its input is.
    const device = this.built ? (this.home() ?? input.device) : this.#device;
    const here = input.device === device ? input : input.to({ device, nonBlocking: true });
    return !input.isFloatingPoint() && this.keepsIntegers ? here : here.to(this.computeDtype);
  }

  // --- variables -------------------------------------------------------------------------------------------

  /** A new variable of the layer in its variable dtype; assign it to the property of that name. */
  protected addWeight(shape: readonly number[], options: WeightOptions = {}): nn.Parameter {
    const { initializer = 'glorot_uniform', regularizer = null, outputsFirst = false } = options;
    const dtype = this.dtypePolicy.variableDtype;
    const values = asInitializer(initializer)(shape, { dtype, device: this.#device });
    const weight = keep(new nn.Parameter(outputsFirst ? lastAxisFirstInMemory(values) : values));
    const penalty = asRegularizer(regularizer);
    if (penalty !== null) this.#regularized.push([penalty, weight]);
    return weight;
  }

  /** State that is not trained, as the buffer `name`. */
  protected addState(name: string, shape: readonly number[], initializer: InitializerId): void {
    const dtype = this.dtypePolicy.variableDtype;
    this.registerBuffer(name, keep(asInitializer(initializer)(shape, { dtype, device: this.#device })));
  }

  /** A variable as the layer computes with it. */
  protected value(variable: Tensor): Tensor {
    return variable.isFloatingPoint() ? variable.to(this.computeDtype) : variable;
  }

  /** Penalties on the weights, in the variables' own dtype. */
  get losses(): Tensor[] {
    const own = this.#trainable ? this.#regularized.map(([penalty, weight]) => penalty(weight)) : [];
    return [...own, ...this.sublayers().flatMap((layer) => layer.losses)];
  }

  /** Layers directly below this one. */
  protected sublayers(): AnyLayer[] {
    return [...this.children()].filter((child): child is AnyLayer => child instanceof Layer);
  }

  get variableDtype(): DType {
    return this.dtypePolicy.variableDtype;
  }

  /** false freezes the variables, and batch normalisation with them. */
  get trainable(): boolean {
    return this.#trainable;
  }

  set trainable(on: boolean) {
    this.#trainable = on;
    for (const [, parameter] of this.ownParameters()) parameter.requiresGrad = on;
    for (const layer of this.sublayers()) layer.trainable = on;
  }

  /** Its variables in Keras's order: of each layer the trained ones, then its state. */
  get weights(): Tensor[] {
    return this.namedWeights().map(([, weight]) => weight);
  }

  /** Paths such as `dense/kernel` with the variables, in the order of `weights`. */
  namedWeights(): [path: string, weight: Tensor][] {
    const own: [string, Tensor][] = [
      ...this.ownParameters(),
      ...Array.from(this.ownBuffers(), ([name, { tensor }]): [string, Tensor] => [name, tensor]),
    ];
    const below = [...this.ownChildren()].flatMap(([name, child]) =>
      child instanceof Layer
        ? child.namedWeights().map(([path, weight]): [string, Tensor] => [`${name}/${path}`, weight])
        : [],
    );
    return [...own, ...below];
  }

  get trainableVariables(): nn.Parameter[] {
    return this.parameters().filter(({ requiresGrad }) => requiresGrad);
  }

  /** Number of elements of all variables. */
  countParams(): number {
    return this.weights.reduce((sum, weight) => sum + weight.numel(), 0);
  }

  override extraRepr(): string {
    return `name=${this.name}, dtype=${this.dtypePolicy.name}`;
  }
}

function lastAxisFirstInMemory(values: Tensor): Tensor {
  const axes = values.shape.map((_, axis) => axis);
  const last = axes.length - 1;
  return values
    .permute(last, ...axes.slice(0, -1))
    .contiguous()
    .permute(...axes.slice(1), 0);
}

const shapeOf = ({ shape }: Tensor): Shape => anyBatch(shape);

const typeOf = (list: readonly unknown[]): string =>
  list.some((entry) => entry instanceof KerasTensor) ? 'tensors and symbolic ones together' : typeof list[0];
