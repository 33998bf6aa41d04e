import { foreachDiv_ } from '../ops/foreach.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** What a GradScaler attaches to an optimizer that applies the scale itself. */
interface AmpScaled {
  gradScale?: Tensor;
  foundInf?: Tensor;
}

/**
 * The list kernels know neither gradient scale nor overflow flag. When a GradScaler has attached them and
 * strides ruled the fused kernel out, this unscales in place and tells whether the step must be skipped.
 */
export function overflowOfForeach({ gradScale, foundInf }: AmpScaled, grads: readonly Tensor[]): boolean {
  // HOST SYNC: rare, only a fused optimizer under a scaler with unequal strides comes here.
  if (foundInf !== undefined && foundInf.item() !== 0) return true;
  if (gradScale !== undefined) {
    const here = gradScale.to(grads[0]!.device);
    foreachDiv_(grads, new Array<Tensor>(grads.length).fill(here));
  }
  return false;
}
