import { type DType, native } from '@mezzo/libtorch';
import { functionHandler } from '../ops/function-mode.ts';
import { keepAlive } from '../tensor/lifetime.ts';
import type { Tensor } from '../tensor/tensor.ts';

interface Cast {
  readonly low: Tensor;
  readonly dtype: DType;
  readonly version: number;
  /** Shares the memory that was cast: while it lives, no other memory can be taken for it. */
  readonly source: Tensor;
}

const casts = new WeakMap<Tensor, Cast>();

/**
 * What a layer hands to an operation of the low-precision list in place of its weight. LibTorch caches only
 * casts of weights that require a gradient, so a frozen layer would cast at every use: here a frozen float32
 * weight is cast once and again when it has changed. Any other weight comes back as it is, and so does every
 * weight outside autocast, in a region with `cache: false`, in a function mode, and under rules for single
 * operations, which may want it in float32.
 */
export function castFrozen<T extends Tensor | null>(weight: T): T | Tensor {
  if (weight === null || functionHandler !== null) return weight;
  const dtype = native().frozenCastDtype(weight.handle);
  if (dtype === null) return weight;
  const { version } = weight;
  const known = casts.get(weight);
  if (known?.dtype === dtype && known.version === version && known.source.sharesStorage(weight)) {
    return known.low;
  }
  known?.low.dispose();
  known?.source.dispose();
  const made = outsideInference(() => ({ low: weight.to(dtype), source: weight.detach() }));
  keepAlive(made.low);
  keepAlive(made.source);
  casts.set(weight, { ...made, dtype, version });
  return made.low;
}

/** A tensor made in inference mode could not be saved for a later backward. */
function outsideInference<T>(fn: () => T): T {
  const torch = native();
  const token = torch.inferenceEnter(false);
  try {
    return fn();
  } finally {
    torch.inferenceExit(token);
  }
}
