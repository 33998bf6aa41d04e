import { TorchError } from '@mezzo/libtorch';
import { noGrad } from '../autograd/modes.ts';
import { op } from '../ops/call.ts';
import { stack } from '../tensor/compose.ts';
import { zeros } from '../tensor/creation.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

export interface ClipGradNormOptions {
  /** Infinity takes the largest magnitude. */
  normType?: number;
  /** Throw when the norm is not finite; the host then waits for the device. */
  errorIfNonfinite?: boolean;
}

const foreachNorm = op<(tensors: Tensor[], order: number) => Tensor[]>('aten::_foreach_norm', 'Scalar');
const foreachMul_ = op<(tensors: Tensor[], factor: Tensor) => void>('aten::_foreach_mul_', 'Tensor');
const foreachClampMin_ = op<(tensors: Tensor[], limit: number) => void>(
  'aten::_foreach_clamp_min_',
  'Scalar',
);
const foreachClampMax_ = op<(tensors: Tensor[], limit: number) => void>(
  'aten::_foreach_clamp_max_',
  'Scalar',
);
const vectorNorm = op('aten::linalg_vector_norm');

/**
 * Scales all gradients together so that their total norm is at most `maxNorm` (torch.nn.utils.clip_grad_norm_).
 * One foreach call for the norms and one for the scaling, per device and dtype; nothing is read back.
 * @returns the total norm before clipping, a tensor of no dimensions
 * @throws TorchError NONFINITE_NORM with `errorIfNonfinite`
 */
export function clipGradNorm_(
  parameters: Iterable<Tensor> | Tensor,
  maxNorm: number,
  options: ClipGradNormOptions = {},
): Tensor {
  const { normType = 2, errorIfNonfinite = false } = options;
  return noGrad(() =>
    scope(() => {
      const groups = gradientGroups(parameters);
      const first = groups[0]?.[0];
      if (first === undefined) return zeros([]);
      const norms = groups.flatMap((group) => foreachNorm(group, normType));
      const gathered = groups.length === 1 ? norms : norms.map((norm) => norm.to(first.device));
      const total = vectorNorm(stack(gathered), normType);
      if (errorIfNonfinite) requireFinite(total, normType);
      // Multiplying by a factor limited to 1 instead of asking whether it is below 1: the host need not wait.
      const factor = total.add(1e-6).reciprocal().mul(maxNorm).clampMax(1);
      for (const group of groups) foreachMul_(group, factor.to(group[0]!.device));
      return total;
    }),
  );
}

/** Limits each element of each gradient to [-clipValue, clipValue] (torch.nn.utils.clip_grad_value_). */
export function clipGradValue_(parameters: Iterable<Tensor> | Tensor, clipValue: number): void {
  noGrad(() =>
    scope(() => {
      for (const group of gradientGroups(parameters)) {
        foreachClampMin_(group, -clipValue);
        foreachClampMax_(group, clipValue);
      }
    }),
  );
}

/** The gradients that exist, grouped by device and dtype as foreach kernels want them. */
function gradientGroups(parameters: Iterable<Tensor> | Tensor): Tensor[][] {
  const list = Symbol.iterator in parameters ? parameters : [parameters];
  const groups = new Map<string, Tensor[]>();
  for (const parameter of list) {
    const { grad } = parameter;
    if (grad === null) continue;
    const key = `${grad.device} ${grad.dtype}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [grad]);
    else group.push(grad);
  }
  return [...groups.values()];
}

function requireFinite(total: Tensor, normType: number): void {
  // sync: asked for by the caller
  if (Number.isFinite(Number(total.item()))) return;
  throw new TorchError(
    'NONFINITE_NORM',
    `The total norm of order ${normType} for gradients from \`parameters\` is non-finite, so it cannot be ` +
      'clipped. To disable this error and scale the gradients by the non-finite norm anyway, set ' +
      '`errorIfNonfinite: false`',
  );
}
