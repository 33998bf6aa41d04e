import { TorchError } from '@mezzo/libtorch';
import { zerosLike } from '../tensor/creation.ts';
import type { DType } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { pad } from './functional/resample.ts';
import { torchSize } from './python-repr.ts';

/** What the masks are for: N samples of H heads, L queries, S keys, then keys that the layer itself adds. */
export interface AttentionShape {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly addedKeys: number;
}

/** A mask as it is added to the scores: true becomes -inf, a float mask stays. */
export function additiveMask(mask: Tensor, name: string, dtype: DType): Tensor {
  if (mask.isFloatingPoint()) return mask;
  if (mask.dtype !== 'bool') {
    throw new TorchError('VALUE', `only bool and floating types of ${name} are supported`);
  }
  return zerosLike(mask, { dtype }).maskedFill_(mask, -Infinity);
}

/**
 * Both masks of multi-head attention as one to add to the scores, [1 or N·H, L or 1, S + added], or null.
 * @param attnMask additive, [L, S] or [N·H, L, S]
 * @param keyPaddingMask additive, [N, S]
 */
export function mergeMasks(
  attnMask: Tensor | null,
  keyPaddingMask: Tensor | null,
  shape: AttentionShape,
): Tensor | null {
  const forScores = attnMask === null ? null : extended(perHead(attnMask, shape), shape);
  if (keyPaddingMask === null) return forScores;
  const padding = paddingPerHead(keyPaddingMask, shape);
  return forScores === null ? padding : forScores.add(padding);
}

function perHead(mask: Tensor, { batch, heads, queries, keys }: AttentionShape): Tensor {
  const flat = mask.ndim === 2;
  const wanted = flat ? [queries, keys] : [batch * heads, queries, keys];
  if (mask.shape.join() !== wanted.join()) {
    throw new TorchError(
      'VALUE',
      `The shape of the ${mask.ndim}D attn_mask is ${torchSize(mask.shape)}, but should be (${wanted.join(', ')}).`,
    );
  }
  return flat ? mask.unsqueeze(0) : mask;
}

function paddingPerHead(mask: Tensor, shape: AttentionShape): Tensor {
  const { batch, heads, keys } = shape;
  if (mask.shape.join() !== [batch, keys].join()) {
    throw new TorchError(
      'VALUE',
      `The shape of the key_padding_mask is ${torchSize(mask.shape)}, but should be (${batch}, ${keys}).`,
    );
  }
  const whole = extended(mask, shape);
  const length = whole.size(1);
  return whole
    .view([batch, 1, 1, length])
    .expand([-1, heads, -1, -1])
    .reshape([batch * heads, 1, length]);
}

/** Nothing masks the keys that the layer adds. */
const extended = (mask: Tensor, { addedKeys }: AttentionShape): Tensor =>
  addedKeys === 0 ? mask : pad(mask, [0, addedKeys]);
