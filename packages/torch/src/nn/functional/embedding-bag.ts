import { TorchError } from '@mezzo/libtorch';
import { op } from '../../ops/call.ts';
import { arange } from '../../tensor/creation.ts';
import type { Tensor } from '../../tensor/tensor.ts';

const embeddingBagOp = op<(...args: unknown[]) => Tensor[]>('aten::embedding_bag', 'padding_idx');

const BAG_MODES = { sum: 0, mean: 1, max: 2 };

export interface EmbeddingBagOptions {
  /** Where each bag begins in a flat list of indices. */
  offsets?: Tensor | null;
  mode?: keyof typeof BAG_MODES;
  /** A factor for every index; with `sum` only. */
  perSampleWeights?: Tensor | null;
  /** The last offset is the length of the list. */
  includeLastOffset?: boolean;
  paddingIdx?: number | null;
}

/** Sums, means or maxima of rows of `weight` [entries, size]: indices [N, B], or a flat list with offsets [N]. */
export function embeddingBag(indices: Tensor, weight: Tensor, options: EmbeddingBagOptions = {}): Tensor {
  const { mode = 'mean', perSampleWeights = null, paddingIdx = null } = options;
  const flat = indices.ndim === 1;
  if (flat === (options.offsets == null)) {
    throw new TorchError(
      'VALUE',
      flat
        ? 'offsets has to be a 1D Tensor but got null'
        : 'if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences',
    );
  }
  const { dtype, device } = indices;
  const offsets = options.offsets ?? arange(0, indices.numel(), indices.size(1), { dtype, device });
  const [bags] = embeddingBagOp(
    weight,
    indices.flatten(),
    offsets,
    false,
    BAG_MODES[mode],
    false,
    perSampleWeights?.flatten() ?? null,
    flat && (options.includeLastOffset ?? false),
    paddingIdx,
  );
  return bags!;
}
