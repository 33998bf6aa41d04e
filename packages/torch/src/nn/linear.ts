import { castFrozen } from '../amp/frozen-weights.ts';
import { noGrad } from '../autograd/modes.ts';
import { empty } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { embedding, linear } from './functional/conv.ts';
import { calculateFanInAndFanOut, kaimingUniform_, normal_, uniform_ } from './init.ts';
import { type FactoryOptions, Layer } from './layer.ts';
import { Parameter } from './parameter.ts';
import { pythonBool } from './python-repr.ts';

/** input @ weight.T + bias; weight [out, in]. */
export class Linear extends Layer {
  readonly inFeatures: number;
  readonly outFeatures: number;
  weight: Parameter;
  bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, options: FactoryOptions & { bias?: boolean } = {}) {
    super();
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.weight = new Parameter(empty([outFeatures, inFeatures], options));
    this.bias = (options.bias ?? true) ? new Parameter(empty([outFeatures], options)) : null;
    this.resetParameters();
  }

  /** PyTorch's default: weight and bias uniform in ±1/sqrt(in). */
  resetParameters(): void {
    kaimingUniform_(this.weight, { a: Math.sqrt(5) });
    if (this.bias === null) return;
    const { fanIn } = calculateFanInAndFanOut(this.weight);
    const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
    uniform_(this.bias, -bound, bound);
  }

  override forward(input: Tensor): Tensor {
    return linear(input, castFrozen(this.weight), castFrozen(this.bias));
  }

  override extraRepr(): string {
    const bias = pythonBool(this.bias !== null);
    return `in_features=${this.inFeatures}, out_features=${this.outFeatures}, bias=${bias}`;
  }
}

export interface EmbeddingOptions extends FactoryOptions {
  /** This row starts at zero and gets no gradient. */
  paddingIdx?: number;
}

/** A table of vectors looked up by integer index; weight [entries, size]. */
export class Embedding extends Layer {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  readonly paddingIdx: number | null;
  weight: Parameter;

  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingOptions = {}) {
    super();
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.paddingIdx = options.paddingIdx ?? null;
    this.weight = new Parameter(empty([numEmbeddings, embeddingDim], options));
    this.resetParameters();
  }

  resetParameters(): void {
    normal_(this.weight);
    const { paddingIdx } = this;
    if (paddingIdx !== null) noGrad(() => this.weight.put([paddingIdx], 0));
  }

  override forward(indices: Tensor): Tensor {
    return embedding(indices, this.weight, this.paddingIdx);
  }

  override extraRepr(): string {
    const padding = this.paddingIdx === null ? '' : `, padding_idx=${this.paddingIdx}`;
    return `${this.numEmbeddings}, ${this.embeddingDim}${padding}`;
  }
}

/** Gives its input back. */
export class Identity extends Layer {
  override forward(input: Tensor): Tensor {
    return input;
  }
}

/** Joins the dimensions from `startDim` to `endDim`. */
export class Flatten extends Layer {
  readonly startDim: number;
  readonly endDim: number;

  constructor(startDim = 1, endDim = -1) {
    super();
    this.startDim = startDim;
    this.endDim = endDim;
  }

  override forward(input: Tensor): Tensor {
    return input.flatten(this.startDim, this.endDim);
  }

  override extraRepr(): string {
    return `start_dim=${this.startDim}, end_dim=${this.endDim}`;
  }
}

/** Splits dimension `dim` into `sizes`. */
export class Unflatten extends Layer {
  readonly dim: number;
  readonly sizes: readonly number[];

  constructor(dim: number, sizes: readonly number[]) {
    super();
    this.dim = dim;
    this.sizes = sizes;
  }

  override forward(input: Tensor): Tensor {
    return input.unflatten(this.dim, this.sizes);
  }

  override extraRepr(): string {
    return `dim=${this.dim}, unflattened_size=(${this.sizes.join(', ')})`;
  }
}
