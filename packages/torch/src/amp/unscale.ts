import { TorchError } from '@mezzo/libtorch';
import { op } from '../ops/call.ts';
import { foreachMulTensor_, foreachNorm } from '../ops/foreach.ts';
import { hasKernel } from '../ops/registration.ts';
import { stack } from '../tensor/compose.ts';
import { full, ones, zeros } from '../tensor/creation.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

type Unscale = (grads: readonly Tensor[], foundInf: Tensor, invScale: Tensor) => void;

const UNSCALE = 'aten::_amp_foreach_non_finite_check_and_unscale_';
const unscaleKernel_ = op<Unscale>(UNSCALE, '');

/** Can LibTorch's kernel take gradients of this device and dtype? Asked once by a call on one element. */
const kernelTakes = new Map<string, boolean>();

/**
 * Multiplies all gradients (one device, one dtype) by `invScale` in place and writes 1 to `foundInf` when one
 * holds an infinity or NaN; it never writes 0. One kernel for all; nothing is read by the host.
 */
export function unscale_(grads: readonly Tensor[], foundInf: Tensor, invScale: Tensor): void {
  if (grads.length === 0) return;
  (hasUnscaleKernel(grads[0]!) ? unscaleKernel_ : unscaleByForeach_)(grads, foundInf, invScale);
}

function hasUnscaleKernel(grad: Tensor): boolean {
  const { device, dtype } = grad;
  const key = `${device} ${dtype}`;
  let answer = kernelTakes.get(key);
  if (answer === undefined) {
    answer = hasKernel(UNSCALE, device) && probe(grad);
    kernelTakes.set(key, answer);
  }
  return answer;
}

/** The registration table says nothing about dtypes, and CUDA's kernel has no bfloat16 (pytorch#127176). */
function probe({ device, dtype }: Tensor): boolean {
  try {
    scope(() => {
      unscaleKernel_([zeros([1], { dtype, device })], zeros([], { device }), ones([], { device }));
    });
    return true;
  } catch (error) {
    if (error instanceof TorchError && error.code === 'NOT_IMPLEMENTED') return false;
    throw error;
  }
}

/** The same with list operations, where LibTorch has no kernel. */
export function unscaleByForeach_(grads: readonly Tensor[], foundInf: Tensor, invScale: Tensor): void {
  // The maximum norm of an empty tensor is an error; infinities and NaN come through it in any dtype.
  const filled = grads.filter((grad) => grad.numel() > 0);
  if (filled.length === 0) return;
  const finite = stack(foreachNorm(filled, Number.POSITIVE_INFINITY)).isfinite().all();
  foundInf.maskedFill_(finite.logicalNot(), 1);
  foreachMulTensor_(filled, invScale);
}

type UpdateScale = (
  scale: Tensor,
  growthTracker: Tensor,
  foundInf: Tensor,
  growthFactor: number,
  backoffFactor: number,
  growthInterval: number,
) => void;

const UPDATE = 'aten::_amp_update_scale_';
const updateKernel_ = op<UpdateScale>(UPDATE, '');

/**
 * In place: on an overflow scale · backoff and tracker 0; else tracker + 1, and when it equals the interval,
 * scale · growth (if that is finite) and tracker 0.
 */
export const updateScale_: UpdateScale = (scale, ...rest) => {
  (hasKernel(UPDATE, scale.device) ? updateKernel_ : updateScaleByOps_)(scale, ...rest);
};

/** The same with plain operations, where LibTorch has no kernel. */
export const updateScaleByOps_: UpdateScale = (
  scale,
  growthTracker,
  foundInf,
  growthFactor,
  backoffFactor,
  growthInterval,
) => {
  scope(() => {
    const overflow = foundInf.ne(0);
    const tracked = growthTracker.add(1);
    const due = tracked.eq(growthInterval).logicalAnd(overflow.logicalNot());
    const grown = scale.mul(growthFactor);
    const factor = full([], 1, { device: scale.device })
      .maskedFill(due.logicalAnd(grown.isfinite()), growthFactor)
      .maskedFill(overflow, backoffFactor);
    scale.mul_(factor);
    growthTracker.copy_(tracked.maskedFill(due.logicalOr(overflow), 0));
  });
};
