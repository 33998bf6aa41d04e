import type { Tensor } from '../tensor/tensor.ts';
import type { MultiheadAttention } from './attention.ts';
import { ModuleList } from './container.ts';
import type { Dropout } from './dropout.ts';
import type { Layer } from './layer.ts';
import type { Linear } from './linear.ts';
import { Module } from './module.ts';
import type { LayerNorm } from './normalization.ts';
import { selfAttention, TransformerLayer, type TransformerLayerOptions } from './transformer-layer.ts';

/** Masks of the target and of the memory, as `attnMask` and `keyPaddingMask` of MultiheadAttention. */
export interface DecoderMasks {
  tgtMask?: Tensor | null;
  memoryMask?: Tensor | null;
  tgtKeyPaddingMask?: Tensor | null;
  memoryKeyPaddingMask?: Tensor | null;
  tgtIsCausal?: boolean;
  memoryIsCausal?: boolean;
}

/** Self-attention, attention to the encoder's output, two linear layers (Vaswani et al. 2017). */
export class TransformerDecoderLayer extends TransformerLayer {
  static override readonly stateNames = { selfAttn: 'self_attn', multiheadAttn: 'multihead_attn' };

  readonly selfAttn: MultiheadAttention;
  readonly multiheadAttn: MultiheadAttention;
  readonly linear1: Linear;
  readonly dropout: Dropout;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly norm3: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly dropout3: Dropout;

  constructor(dModel: number, nhead: number, options: TransformerLayerOptions = {}) {
    super(dModel, nhead, options);
    this.selfAttn = this.attention();
    this.multiheadAttn = this.attention();
    [this.linear1, this.linear2] = this.linearLayers();
    this.dropout = this.drop();
    this.norm1 = this.norm();
    this.norm2 = this.norm();
    this.norm3 = this.norm();
    this.dropout1 = this.drop();
    this.dropout2 = this.drop();
    this.dropout3 = this.drop();
  }

  override copy(): TransformerDecoderLayer {
    return this.copyInto((options) => new TransformerDecoderLayer(this.dModel, this.nhead, options));
  }

  /** tgt [L, N, E] attends to itself and to memory [S, N, E]; with `batchFirst` [N, L, E] and [N, S, E]. */
  override forward(tgt: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    const attendToSelf = (x: Tensor) =>
      this.dropout1.forward(
        selfAttention(this.selfAttn, x, {
          attnMask: masks.tgtMask ?? null,
          keyPaddingMask: masks.tgtKeyPaddingMask ?? null,
          isCausal: masks.tgtIsCausal ?? false,
        }),
      );
    const attendToMemory = (x: Tensor) => {
      const [attended] = this.multiheadAttn.forward(x, memory, memory, {
        attnMask: masks.memoryMask ?? null,
        keyPaddingMask: masks.memoryKeyPaddingMask ?? null,
        isCausal: masks.memoryIsCausal ?? false,
        needWeights: false,
      });
      return this.dropout2.forward(attended);
    };
    const withSelf = this.residual(tgt, this.norm1, attendToSelf);
    const withMemory = this.residual(withSelf, this.norm2, attendToMemory);
    return this.residual(withMemory, this.norm3, (x) => this.dropout3.forward(this.feedForward(x)));
  }
}

/** A stack of copies of one layer. */
export class TransformerDecoder extends Module {
  readonly layers: ModuleList<TransformerDecoderLayer>;
  readonly norm: Layer | null;

  constructor(layer: TransformerDecoderLayer, numLayers: number, options: { norm?: Layer | null } = {}) {
    super();
    this.layers = new ModuleList(Array.from({ length: numLayers }, () => layer.copy()));
    this.norm = options.norm ?? null;
  }

  override forward(tgt: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    let output = tgt;
    for (const layer of this.layers) output = layer.forward(output, memory, masks);
    return this.norm === null ? output : this.norm.forward(output);
  }
}
