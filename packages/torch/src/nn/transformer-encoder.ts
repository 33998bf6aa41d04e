import type { Tensor } from '../tensor/tensor.ts';
import type { MultiheadAttention } from './attention.ts';
import { ModuleList } from './container.ts';
import type { Dropout } from './dropout.ts';
import { Layer } from './layer.ts';
import type { Linear } from './linear.ts';
import type { LayerNorm } from './normalization.ts';
import { selfAttention, TransformerLayer, type TransformerLayerOptions } from './transformer-layer.ts';

export interface EncoderMasks {
  /** As `attnMask` of MultiheadAttention. */
  mask?: Tensor | null;
  /** As `keyPaddingMask` of MultiheadAttention. */
  srcKeyPaddingMask?: Tensor | null;
  /** The mask is the causal one. */
  isCausal?: boolean;
}

/** Self-attention and two linear layers, each with a residual connection (Vaswani et al. 2017). */
export class TransformerEncoderLayer extends TransformerLayer {
  static override readonly stateNames = { selfAttn: 'self_attn' };

  readonly selfAttn: MultiheadAttention;
  readonly linear1: Linear;
  readonly dropout: Dropout;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;

  constructor(dModel: number, nhead: number, options: TransformerLayerOptions = {}) {
    super(dModel, nhead, options);
    this.selfAttn = this.attention();
    [this.linear1, this.linear2] = this.linearLayers();
    this.dropout = this.drop();
    this.norm1 = this.norm();
    this.norm2 = this.norm();
    this.dropout1 = this.drop();
    this.dropout2 = this.drop();
  }

  override copy(): TransformerEncoderLayer {
    return this.copyInto((options) => new TransformerEncoderLayer(this.dModel, this.nhead, options));
  }

  /** src [L, N, E], or [N, L, E] with `batchFirst`. */
  override forward(src: Tensor, masks: EncoderMasks = {}): Tensor {
    const { mask = null, srcKeyPaddingMask = null, isCausal = false } = masks;
    const attend = (x: Tensor) =>
      this.dropout1.forward(
        selfAttention(this.selfAttn, x, { attnMask: mask, keyPaddingMask: srcKeyPaddingMask, isCausal }),
      );
    const attended = this.residual(src, this.norm1, attend);
    return this.residual(attended, this.norm2, (x) => this.dropout2.forward(this.feedForward(x)));
  }
}

/** A stack of copies of one layer, which therefore start with equal weights, as PyTorch's do. */
export class TransformerEncoder extends Layer {
  readonly layers: ModuleList<TransformerEncoderLayer>;
  readonly norm: Layer | null;

  constructor(layer: TransformerEncoderLayer, numLayers: number, options: { norm?: Layer | null } = {}) {
    super();
    this.layers = new ModuleList(Array.from({ length: numLayers }, () => layer.copy()));
    this.norm = options.norm ?? null;
  }

  override forward(src: Tensor, masks: EncoderMasks = {}): Tensor {
    let output = src;
    for (const layer of this.layers) output = layer.forward(output, masks);
    return this.norm === null ? output : this.norm.forward(output);
  }
}
