import { full } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { xavierUniform_ } from './init.ts';
import { Module } from './module.ts';
import { LayerNorm } from './normalization.ts';
import { type DecoderMasks, TransformerDecoder, TransformerDecoderLayer } from './transformer-decoder.ts';
import { TransformerEncoder, TransformerEncoderLayer } from './transformer-encoder.ts';
import type { TransformerLayerOptions } from './transformer-layer.ts';

export interface TransformerOptions extends TransformerLayerOptions {
  dModel?: number;
  nhead?: number;
  numEncoderLayers?: number;
  numDecoderLayers?: number;
}

export interface TransformerMasks extends DecoderMasks {
  srcMask?: Tensor | null;
  srcKeyPaddingMask?: Tensor | null;
  srcIsCausal?: boolean;
}

/** Encoder and decoder (Vaswani et al. 2017). */
export class Transformer extends Module {
  readonly encoder: TransformerEncoder;
  readonly decoder: TransformerDecoder;

  constructor(options: TransformerOptions = {}) {
    super();
    const { dModel = 512, nhead = 8, numEncoderLayers = 6, numDecoderLayers = 6, ...layer } = options;
    const norm = () => new LayerNorm(dModel, { ...layer, eps: layer.layerNormEps ?? 1e-5 });
    const encoderLayer = new TransformerEncoderLayer(dModel, nhead, layer);
    this.encoder = new TransformerEncoder(encoderLayer, numEncoderLayers, { norm: norm() });
    const decoderLayer = new TransformerDecoderLayer(dModel, nhead, layer);
    this.decoder = new TransformerDecoder(decoderLayer, numDecoderLayers, { norm: norm() });
    for (const parameter of this.parameters()) if (parameter.ndim > 1) xavierUniform_(parameter);
  }

  /** src [S, N, E] and tgt [L, N, E] give [L, N, E]; with `batchFirst` N comes first. */
  override forward(src: Tensor, tgt: Tensor, masks: TransformerMasks = {}): Tensor {
    const { srcMask = null, srcKeyPaddingMask = null, srcIsCausal = false, ...decoderMasks } = masks;
    const memory = this.encoder.forward(src, { mask: srcMask, srcKeyPaddingMask, isCausal: srcIsCausal });
    return this.decoder.forward(tgt, memory, decoderMasks);
  }

  /** The causal mask [size, size]: -inf where a later element would be seen, else 0. */
  static generateSquareSubsequentMask(size: number, options: { device?: string } = {}): Tensor {
    return full([size, size], -Infinity, options).triu(1);
  }
}
