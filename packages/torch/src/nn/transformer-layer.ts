import { forkRng } from '../random/state.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type AttentionMasks, MultiheadAttention } from './attention.ts';
import { Dropout } from './dropout.ts';
import { gelu, relu } from './functional/activation.ts';
import type { FactoryOptions } from './layer.ts';
import { Linear } from './linear.ts';
import { Module } from './module.ts';
import { LayerNorm } from './normalization.ts';

export interface TransformerLayerOptions extends FactoryOptions {
  /** Features between the two linear layers. */
  dimFeedforward?: number;
  dropout?: number;
  activation?: 'relu' | 'gelu' | ((x: Tensor) => Tensor);
  layerNormEps?: number;
  /** Inputs and outputs are [N, L, E], not [L, N, E]. */
  batchFirst?: boolean;
  /** Normalise before attention and linear layers, not after them. */
  normFirst?: boolean;
  bias?: boolean;
}

const ACTIVATIONS = { relu: (x: Tensor) => relu(x), gelu: (x: Tensor) => gelu(x) };

/** What encoder and decoder layers share: attention, two linear layers, and how they are put together. */
export abstract class TransformerLayer extends Module {
  readonly dModel: number;
  readonly nhead: number;
  readonly options: Readonly<TransformerLayerOptions>;
  readonly normFirst: boolean;
  protected readonly activation: (x: Tensor) => Tensor;
  abstract readonly linear1: Linear;
  abstract readonly linear2: Linear;
  abstract readonly dropout: Dropout;

  constructor(dModel: number, nhead: number, options: TransformerLayerOptions) {
    super();
    const { activation = 'relu' } = options;
    this.dModel = dModel;
    this.nhead = nhead;
    this.options = options;
    this.normFirst = options.normFirst ?? false;
    this.activation = typeof activation === 'string' ? ACTIVATIONS[activation] : activation;
  }

  /** Another layer of the same settings, weights, place and mode. */
  abstract copy(): TransformerLayer;

  protected attention(): MultiheadAttention {
    const { dropout = 0.1, bias, batchFirst, device, dtype } = this.options;
    return new MultiheadAttention(
      this.dModel,
      this.nhead,
      defined({ dropout, bias, batchFirst, device, dtype }),
    );
  }

  /** The widening linear layer and the narrowing one. */
  protected linearLayers(): [widening: Linear, narrowing: Linear] {
    const { dModel, options } = this;
    const { dimFeedforward = 2048 } = options;
    return [new Linear(dModel, dimFeedforward, options), new Linear(dimFeedforward, dModel, options)];
  }

  protected norm(): LayerNorm {
    return new LayerNorm(this.dModel, { ...this.options, eps: this.options.layerNormEps ?? 1e-5 });
  }

  protected drop(): Dropout {
    return new Dropout(this.options.dropout ?? 0.1);
  }

  protected feedForward(x: Tensor): Tensor {
    return this.linear2.forward(this.dropout.forward(this.activation(this.linear1.forward(x))));
  }

  /** x + block(norm(x)), or norm(x + block(x)). */
  protected residual(x: Tensor, norm: LayerNorm, block: (x: Tensor) => Tensor): Tensor {
    return this.normFirst ? x.add(block(norm.forward(x))) : norm.forward(x.add(block(x)));
  }

  protected copyInto<T extends TransformerLayer>(make: (options: TransformerLayerOptions) => T): T {
    const [{ dtype, device }] = this.parameters() as [Tensor, ...Tensor[]];
    const copy = forkRng(() => make({ ...this.options, dtype, device }));
    copy.loadStateDict(this.stateDict());
    const own = this.parameters();
    copy.parameters().forEach((parameter, i) => {
      parameter.requiresGrad = own[i]!.requiresGrad;
    });
    return copy.train(this.training);
  }
}

/** Without the keys that are undefined. */
const defined = <T extends object>(options: T) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };

/** Attention of x to itself. */
export const selfAttention = (attention: MultiheadAttention, x: Tensor, masks: AttentionMasks): Tensor =>
  attention.forward(x, x, x, { ...masks, needWeights: false })[0];
