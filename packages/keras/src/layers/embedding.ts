import { nn, type Tensor } from '@mezzo/torch';
import type { Shape } from '../graph/shape.ts';
import type { InitializerId } from '../initializers/index.ts';
import type { RegularizerId } from '../regularizers.ts';
import { Layer, type LayerOptions } from './layer.ts';

export interface EmbeddingOptions extends LayerOptions {
  /** Default 'uniform'. */
  embeddingsInitializer?: InitializerId;
  embeddingsRegularizer?: RegularizerId | null;
}

/** A row of the table for each whole number of the input. */
export class Embedding extends Layer {
  protected override readonly keepsIntegers = true;
  embeddings!: nn.Parameter;
  readonly inputDim: number;
  readonly outputDim: number;
  readonly #options: EmbeddingOptions;

  constructor(inputDim: number, outputDim: number, options: EmbeddingOptions = {}) {
    super(options, ['embeddingsInitializer', 'embeddingsRegularizer']);
    this.inputDim = inputDim;
    this.outputDim = outputDim;
    this.#options = options;
  }

  protected override build(): void {
    const { embeddingsInitializer = 'uniform', embeddingsRegularizer } = this.#options;
    this.embeddings = this.addWeight([this.inputDim, this.outputDim], {
      initializer: embeddingsInitializer,
      regularizer: embeddingsRegularizer,
    });
  }

  override computeOutputShape(inputShape: Shape): Shape {
    return [...inputShape, this.outputDim];
  }

  /** Numbers are taken as they come: a low-precision one could name another row. */
  protected override castInput(input: Tensor): Tensor {
    return input.to({ device: this.device, dtype: 'int64' });
  }

  protected override compute(indices: Tensor): Tensor {
    return this.value(nn.functional.embedding(indices, this.embeddings));
  }
}
