import { hasKernel } from '../ops/registration.ts';
import { isFloatingDType } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { sameFlatLayout, sameFlatLayouts } from './layout.ts';
import { hasMaster, isLowPrecision } from './master-weights.ts';
import type { ParamGroup } from './optimizer.ts';

/** Whether the group's options, the device and the dtype allow the fused kernel. */
export function fusedAllowed(opName: string, group: ParamGroup, param: Tensor): boolean {
  if (group.foreach === true || group.fused === false) return false;
  const dtype = hasMaster(group, param) ? 'float32' : param.dtype;
  // The CPU kernels of LibTorch 2.10 leave some elements of 16-bit parameters as they were, without a word.
  if (param.device === 'cpu' && isLowPrecision(dtype)) return false;
  return isFloatingDType(dtype) && hasKernel(opName, param.device);
}

/**
 * Positions that the fused kernel may take (parameter, gradient and state are walked alike), and the others.
 * `lists[0]` are the parameters.
 */
export function splitByLayout(lists: readonly (readonly Tensor[])[]): { fused: number[]; foreach: number[] } {
  const split = { fused: [] as number[], foreach: [] as number[] };
  const alike = sameFlatLayouts(lists);
  for (let i = 0; i < lists[0]!.length; i++) {
    (alike || sameFlatLayout(lists.map((list) => list[i]!)) ? split.fused : split.foreach).push(i);
  }
  return split;
}
