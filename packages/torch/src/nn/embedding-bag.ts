import { noGrad } from '../autograd/modes.ts';
import { empty } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type EmbeddingBagOptions, embeddingBag } from './functional/embedding-bag.ts';
import { normal_ } from './init.ts';
import type { FactoryOptions } from './layer.ts';
import { Module } from './module.ts';
import { Parameter } from './parameter.ts';

type BagSettings = Pick<EmbeddingBagOptions, 'mode' | 'includeLastOffset' | 'paddingIdx'>;

/** `Embedding` followed by a sum, mean or maximum over each bag, in one step; weight [entries, size]. */
export class EmbeddingBag extends Module {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  readonly settings: Readonly<BagSettings>;
  weight: Parameter;

  constructor(numEmbeddings: number, embeddingDim: number, options: FactoryOptions & BagSettings = {}) {
    super();
    const { device, dtype, ...settings } = options;
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.settings = settings;
    this.weight = new Parameter(empty([numEmbeddings, embeddingDim], options));
    this.resetParameters();
  }

  resetParameters(): void {
    normal_(this.weight);
    const { paddingIdx } = this.settings;
    if (paddingIdx != null) noGrad(() => this.weight.put([paddingIdx], 0));
  }

  /** indices [N, B], or a flat list with `offsets` [N]; gives [N, size]. */
  override forward(
    indices: Tensor,
    call: Pick<EmbeddingBagOptions, 'offsets' | 'perSampleWeights'> = {},
  ): Tensor {
    return embeddingBag(indices, this.weight, { ...this.settings, ...call });
  }

  override extraRepr(): string {
    const { mode = 'mean', paddingIdx } = this.settings;
    const padding = paddingIdx == null ? '' : `, padding_idx=${paddingIdx}`;
    return `${this.numEmbeddings}, ${this.embeddingDim}, mode='${mode}'${padding}`;
  }
}
