import { TorchError } from '@mezzo/libtorch';
import { castFrozen } from '../amp/frozen-weights.ts';
import { op } from '../ops/call.ts';
import { cat } from '../tensor/compose.ts';
import { empty, zeros } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { additiveMask, mergeMasks } from './attention-mask.ts';
import { scaledDotProductAttention } from './functional/attention.ts';
import { linear } from './functional/conv.ts';
import { dropout } from './functional/dropout.ts';
import { constant_, xavierNormal_, xavierUniform_ } from './init.ts';
import type { FactoryOptions } from './layer.ts';
import { Linear } from './linear.ts';
import { Module } from './module.ts';
import { Parameter } from './parameter.ts';
import { torchSize } from './python-repr.ts';

export interface MultiheadAttentionOptions extends FactoryOptions {
  /** Share of the attention weights that is dropped while training. */
  dropout?: number;
  bias?: boolean;
  /** Append a learned key and value to the sequence. */
  addBiasKv?: boolean;
  /** Append a key and a value of zeros. */
  addZeroAttn?: boolean;
  /** Features of the keys; default: embedDim. */
  kdim?: number;
  /** Features of the values; default: embedDim. */
  vdim?: number;
  /** Inputs and outputs are [N, L, E], not [L, N, E]. */
  batchFirst?: boolean;
}

export interface AttentionMasks {
  /** [N, S]: true where a key is padding, or a float that is added to the scores. */
  keyPaddingMask?: Tensor | null;
  /** [L, S] or [N·heads, L, S]: true where attention is not allowed, or a float that is added to the scores. */
  attnMask?: Tensor | null;
  /** attnMask is the causal mask, so a kernel may do without it. */
  isCausal?: boolean;
}

export interface AttentionCall extends AttentionMasks {
  /** Also return the attention weights, which takes the slower path that forms them. Default: true. */
  needWeights?: boolean;
  /** Return the weights' mean over the heads, [N, L, S], instead of [N, heads, L, S]. Default: true. */
  averageAttnWeights?: boolean;
}

const baddbmm = op('aten::baddbmm');

/** Attention of several heads (Vaswani et al. 2017): E features, L queries, S keys. */
export class MultiheadAttention extends Module {
  static override readonly stateNames = {
    qProjWeight: 'q_proj_weight',
    kProjWeight: 'k_proj_weight',
    vProjWeight: 'v_proj_weight',
    inProjWeight: 'in_proj_weight',
    inProjBias: 'in_proj_bias',
    biasK: 'bias_k',
    biasV: 'bias_v',
    outProj: 'out_proj',
  };

  readonly embedDim: number;
  readonly numHeads: number;
  readonly headDim: number;
  readonly kdim: number;
  readonly vdim: number;
  readonly batchFirst: boolean;
  readonly addZeroAttn: boolean;
  dropout: number;
  qProjWeight: Parameter | null = null;
  kProjWeight: Parameter | null = null;
  vProjWeight: Parameter | null = null;
  inProjWeight: Parameter | null = null;
  inProjBias: Parameter | null;
  biasK: Parameter | null;
  biasV: Parameter | null;
  readonly outProj: Linear;

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super();
    const { bias = true, kdim = embedDim, vdim = embedDim } = options;
    if (embedDim <= 0 || numHeads <= 0) {
      throw new TorchError(
        'VALUE',
        `embed_dim and num_heads must be greater than 0, got embed_dim=${embedDim} and num_heads=${numHeads} instead`,
      );
    }
    if (embedDim % numHeads !== 0) {
      throw new TorchError('VALUE', 'embed_dim must be divisible by num_heads');
    }
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    this.headDim = embedDim / numHeads;
    this.kdim = kdim;
    this.vdim = vdim;
    this.dropout = options.dropout ?? 0;
    this.batchFirst = options.batchFirst ?? false;
    this.addZeroAttn = options.addZeroAttn ?? false;
    const parameter = (shape: number[]) => new Parameter(empty(shape, options));
    if (kdim === embedDim && vdim === embedDim) {
      this.inProjWeight = parameter([3 * embedDim, embedDim]);
    } else {
      this.qProjWeight = parameter([embedDim, embedDim]);
      this.kProjWeight = parameter([embedDim, kdim]);
      this.vProjWeight = parameter([embedDim, vdim]);
    }
    this.inProjBias = bias ? parameter([3 * embedDim]) : null;
    this.outProj = new Linear(embedDim, embedDim, { ...options, bias });
    this.biasK = options.addBiasKv ? parameter([1, 1, embedDim]) : null;
    this.biasV = options.addBiasKv ? parameter([1, 1, embedDim]) : null;
    this.resetParameters();
  }

  resetParameters(): void {
    for (const weight of [this.inProjWeight, this.qProjWeight, this.kProjWeight, this.vProjWeight]) {
      if (weight !== null) xavierUniform_(weight);
    }
    for (const bias of [this.inProjBias, this.outProj.bias]) if (bias !== null) constant_(bias, 0);
    for (const bias of [this.biasK, this.biasV]) if (bias !== null) xavierNormal_(bias);
  }

  /**
   * query [L, N, E], key [S, N, kdim], value [S, N, vdim], with `batchFirst` [N, L, E] and so on, or without
   * the N: output of the query's shape and, unless `needWeights` is false, the attention weights.
   */
  override forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    call: AttentionCall = {},
  ): [output: Tensor, weights: Tensor | null] {
    this.checkInputs(query, key, value, call);
    const batched = query.ndim === 3;
    const swap = (tensor: Tensor) =>
      batched ? (this.batchFirst ? tensor.transpose(0, 1) : tensor) : tensor.unsqueeze(1);
    // What was one tensor stays one: its projections are then one multiplication.
    const [q, k] = [swap(query), key === query ? null : swap(key)];
    const v = value === key ? null : swap(value);
    const padding = call.keyPaddingMask ?? null;
    const [output, weights] = this.attend(q, k ?? q, v ?? k ?? q, {
      ...call,
      keyPaddingMask: padding === null || batched ? padding : padding.unsqueeze(0),
    });
    if (!batched) return [output.squeeze(1), weights === null ? null : weights.squeeze(0)];
    return [this.batchFirst ? output.transpose(0, 1) : output, weights];
  }

  /** query [L, N, E], key and value [S, N, …] */
  private attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    call: AttentionCall,
  ): [output: Tensor, weights: Tensor | null] {
    const { needWeights = true, averageAttnWeights = true, isCausal = false } = call;
    const { embedDim, numHeads, headDim } = this;
    const [queries, batch] = query.shape as [number, number];
    const keyPaddingMask = additive(call.keyPaddingMask, 'key_padding_mask', query);
    // The kernel makes the causal mask itself, unless another has to be added to it.
    const causal = isCausal && keyPaddingMask === null && !needWeights;
    const attnMask = causal ? null : additive(call.attnMask, 'attn_mask', query);

    const [q, ...keyValue] = this.project(query, key, value);
    const split = (x: Tensor) => x.view([x.size(0), batch * numHeads, headDim]).transpose(0, 1);
    const [k, v] = this.withAddedKeys(...keyValue)
      .map(split)
      .map((x) => this.withZeros(x)) as [Tensor, Tensor];
    const keys = key.size(0);
    const mask = mergeMasks(attnMask, keyPaddingMask, {
      batch,
      heads: numHeads,
      queries,
      keys,
      addedKeys: k.size(1) - keys,
    });
    const joined = (x: Tensor) =>
      this.outProj.forward(x.reshape([queries * batch, embedDim])).view([queries, batch, embedDim]);
    const dropoutP = this.training ? this.dropout : 0;

    if (!needWeights) {
      const perSample = (x: Tensor) => x.view([batch, numHeads, -1, headDim]);
      const attended = scaledDotProductAttention(perSample(split(q)), perSample(k), perSample(v), {
        attnMask: mask === null ? null : scoresMask(mask, batch, numHeads),
        dropoutP,
        isCausal: causal,
      });
      return [joined(attended.permute(2, 0, 1, 3)), null];
    }
    const scaled = split(q).mul(Math.sqrt(1 / headDim));
    const scores =
      mask === null ? scaled.bmm(k.transpose(-2, -1)) : baddbmm(mask, scaled, k.transpose(-2, -1));
    const softened = scores.softmax(-1);
    const weights = dropoutP > 0 ? dropout(softened, dropoutP) : softened;
    const output = joined(weights.bmm(v).transpose(0, 1));
    const perHead = weights.view([batch, numHeads, queries, k.size(1)]);
    return [output, averageAttnWeights ? perHead.mean(1) : perHead];
  }

  /** The inputs as queries, keys and values of E features each. */
  private project(query: Tensor, key: Tensor, value: Tensor): [q: Tensor, k: Tensor, v: Tensor] {
    const { embedDim, inProjWeight, inProjBias } = this;
    if (inProjWeight !== null && query === key && key === value) {
      const packed = linear(query, castFrozen(inProjWeight), castFrozen(inProjBias));
      return unpack(packed, 3) as [Tensor, Tensor, Tensor];
    }
    if (inProjWeight !== null && key === value) {
      const sizes = [embedDim, 2 * embedDim];
      const [weightQ, weightKv] = inProjWeight.split(sizes) as [Tensor, Tensor];
      const [biasQ = null, biasKv = null] = inProjBias?.split(sizes) ?? [];
      const packed = linear(key, weightKv, biasKv);
      return [linear(query, weightQ, biasQ), ...(unpack(packed, 2) as [Tensor, Tensor])];
    }
    const weights = inProjWeight?.chunk(3) ?? [this.qProjWeight!, this.kProjWeight!, this.vProjWeight!];
    const biases = inProjBias?.chunk(3) ?? [null, null, null];
    return [query, key, value].map((x, i) => linear(x, weights[i]!, biases[i] ?? null)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
  }

  private withAddedKeys(k: Tensor, v: Tensor): [k: Tensor, v: Tensor] {
    const { biasK, biasV } = this;
    if (biasK === null || biasV === null) return [k, v];
    const batch = k.size(1);
    return [cat([k, biasK.repeat(1, batch, 1)]), cat([v, biasV.repeat(1, batch, 1)])];
  }

  private withZeros(x: Tensor): Tensor {
    if (!this.addZeroAttn) return x;
    const { dtype, device } = x;
    return cat([x, zeros([x.size(0), 1, x.size(2)], { dtype, device })], 1);
  }

  private checkInputs(query: Tensor, key: Tensor, value: Tensor, call: AttentionCall): void {
    const ndim = query.ndim;
    const refuse = (message: string): never => {
      throw new TorchError('VALUE', message);
    };
    if (ndim !== 2 && ndim !== 3) {
      refuse(`query should be unbatched 2D or batched 3D tensor but received ${ndim}-D query tensor`);
    }
    const kind = ndim === 3 ? 'batched (3-D)' : 'unbatched (2-D)';
    if (key.ndim !== ndim || value.ndim !== ndim) {
      refuse(
        `For ${kind} \`query\`, expected \`key\` and \`value\` to be ${ndim}-D but found ` +
          `${key.ndim}-D and ${value.ndim}-D tensors respectively`,
      );
    }
    const { keyPaddingMask, attnMask, isCausal = false } = call;
    if (keyPaddingMask && keyPaddingMask.ndim !== ndim - 1) {
      refuse(
        `For ${kind} \`query\`, expected \`key_padding_mask\` to be \`None\` or ${ndim - 1}-D but found ` +
          `${keyPaddingMask.ndim}-D tensor instead`,
      );
    }
    if (attnMask && attnMask.ndim !== 2 && attnMask.ndim !== 3) {
      refuse(
        `For ${kind} \`query\`, expected \`attn_mask\` to be \`None\`, 2-D or 3-D but found ` +
          `${attnMask.ndim}-D tensor instead`,
      );
    }
    if (isCausal && !attnMask) {
      refuse(
        'Need attn_mask if specifying the is_causal hint. You may use the Transformer module method ' +
          '`generate_square_subsequent_mask` to create this mask.',
      );
    }
    if (query.size(-1) !== this.embedDim) {
      refuse(`was expecting embedding dimension of ${this.embedDim}, but got ${query.size(-1)}`);
    }
    const compared = this.inProjWeight === null ? key.ndim - 1 : key.ndim;
    const [keyShape, valueShape] = [key.shape.slice(0, compared), value.shape.slice(0, compared)];
    if (keyShape.join() !== valueShape.join()) {
      refuse(`key shape ${torchSize(key.shape)} does not match value shape ${torchSize(value.shape)}`);
    }
  }
}

/** [L, N, parts · E] as that many contiguous tensors [L, N, E]. */
const unpack = (packed: Tensor, parts: number): Tensor[] =>
  packed
    .unflatten(-1, [parts, packed.size(-1) / parts])
    .permute(2, 0, 1, 3)
    .contiguous()
    .unbind(0);

const additive = (mask: Tensor | null | undefined, name: string, query: Tensor): Tensor | null =>
  mask == null ? null : additiveMask(mask, name, query.dtype);

/** [1, L, S] for all samples and heads, or one for each of them. */
const scoresMask = (mask: Tensor, batch: number, heads: number): Tensor =>
  mask.size(0) === 1 ? mask.unsqueeze(0) : mask.view([batch, heads, -1, mask.size(-1)]);
