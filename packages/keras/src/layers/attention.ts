import { nn, type Tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import { elements, requireSize, type Shape, shapeText } from '../graph/shape.ts';
import type { InitializerId } from '../initializers/index.ts';
import { type CallOptions, Layer, type LayerOptions } from './layer.ts';

export interface MultiHeadAttentionOptions extends LayerOptions {
  /** Size of each head's values; default `keyDim`. */
  valueDim?: number;
  /** Share of the attention weights that is dropped in training. */
  dropout?: number;
  useBias?: boolean;
  /** Each position looks at itself and those before it only. */
  useCausalMask?: boolean;
  kernelInitializer?: InitializerId;
}

/** One projection: kernel and bias under the names of Keras's inner EinsumDense layers. */
class Projection extends Layer {
  kernel!: nn.Parameter;
  bias: nn.Parameter | null = null;
  readonly #kernelShape: readonly number[];
  readonly #biasShape: readonly number[] | null;
  readonly #initializer: InitializerId | undefined;

  constructor(
    kernelShape: readonly number[],
    biasShape: readonly number[] | null,
    initializer: InitializerId | undefined,
    options: LayerOptions,
  ) {
    super(options);
    this.#kernelShape = kernelShape;
    this.#biasShape = biasShape;
    this.#initializer = initializer;
  }

  protected override build(): void {
    this.kernel = this.addWeight(this.#kernelShape, { initializer: this.#initializer });
    if (this.#biasShape !== null) this.bias = this.addWeight(this.#biasShape, { initializer: 'zeros' });
  }

  override computeOutputShape(inputShape: Shape): Shape {
    return [...inputShape.slice(0, -1), elements(this.#kernelShape)! / inputShape.at(-1)!];
  }

  /** x · kernel + bias, heads side by side. */
  protected override compute(x: Tensor): Tensor {
    const product = x.matmul(this.value(this.kernel).reshape(x.size(-1), -1));
    return this.bias === null ? product : product.add(this.value(this.bias).reshape(-1));
  }
}

/**
 * Attention of queries [batch, T, features] over keys and values [batch, S, features] by several heads; called on
 * [query, value] or [query, value, key].
 */
export class MultiHeadAttention extends Layer<readonly Tensor[]> {
  static override readonly stateNames = {
    queryDense: 'query',
    keyDense: 'key',
    valueDense: 'value',
    outputDense: 'attention_output',
  };

  queryDense!: Projection;
  keyDense!: Projection;
  valueDense!: Projection;
  outputDense!: Projection;
  readonly numHeads: number;
  readonly keyDim: number;
  readonly #options: MultiHeadAttentionOptions;

  constructor(numHeads: number, keyDim: number, options: MultiHeadAttentionOptions = {}) {
    super(options, ['valueDim', 'dropout', 'useBias', 'useCausalMask', 'kernelInitializer']);
    this.numHeads = numHeads;
    this.keyDim = keyDim;
    this.#options = options;
  }

  override get takesList(): boolean {
    return true;
  }

  protected override build([query, value, key = value!]: readonly Shape[]): void {
    const { numHeads: heads, keyDim } = this;
    const { valueDim = keyDim, useBias = true, kernelInitializer } = this.#options;
    const project = (name: string, input: number, size: number) =>
      new Projection(
        [input, heads, size],
        useBias ? [heads, size] : null,
        kernelInitializer,
        this.inner(name),
      );
    const features = (shape: Shape) => requireSize(this.name, shape, -1);
    this.queryDense = project('query', features(query!), keyDim);
    this.keyDense = project('key', features(key), keyDim);
    this.valueDense = project('value', features(value!), valueDim);
    const width = features(query!);
    this.outputDense = new Projection(
      [heads, valueDim, width],
      useBias ? [width] : null,
      kernelInitializer,
      this.inner('attention_output'),
    );
    this.queryDense.ensureBuilt(query!);
    this.keyDense.ensureBuilt(key);
    this.valueDense.ensureBuilt(value!);
    this.outputDense.ensureBuilt([null, heads * valueDim]);
  }

  private inner(name: string): LayerOptions {
    return { name, dtype: this.dtypePolicy };
  }

  override computeOutputShape(shapes: readonly Shape[]): Shape {
    if ((shapes.length === 2 || shapes.length === 3) && shapes.every(({ length }) => length === 3))
      return shapes[0]!;
    throw new KerasError(
      'SHAPE_MISMATCH',
      `layer '${this.name}': expected [query, value] or [query, value, key], each (batch, positions, features), ` +
        `but the inputs have shapes ${shapes.map(shapeText).join(', ')}`,
    );
  }

  protected override compute(
    [query, value, key = value!]: readonly Tensor[],
    { training }: Required<CallOptions>,
  ): Tensor {
    const { dropout = 0, useCausalMask = false } = this.#options;
    const heads = (x: Tensor) => x.unflatten(-1, [this.numHeads, -1]).transpose(1, 2);
    const seen = nn.functional.scaledDotProductAttention(
      heads(this.queryDense.call(query!)),
      heads(this.keyDense.call(key)),
      heads(this.valueDense.call(value!)),
      { dropoutP: training ? dropout : 0, isCausal: useCausalMask },
    );
    return this.outputDense.call(seen.transpose(1, 2).flatten(2));
  }
}
