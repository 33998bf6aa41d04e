import { native } from '@mezzo/libtorch';
import { isFloatingDType } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { sameFlatLayout, sameFlatLayouts } from './layout.ts';
import type { ParamGroup } from './optimizer.ts';

/** 'cuda:0' → 'CUDA', the dispatch key of the device's kernels. */
export const dispatchKey = (device: string): string => device.replace(/:\d+$/, '').toUpperCase();

const registered = new Map<string, boolean>();

/** Whether this LibTorch has a kernel of the op (no overload name) for the device: its own registration table. */
export function hasKernel(opName: string, device: string): boolean {
  const key = `${opName} ${dispatchKey(device)}`;
  let answer = registered.get(key);
  if (answer === undefined) {
    answer = native().hasKernel(native().lookup(opName, '').id, dispatchKey(device));
    registered.set(key, answer);
  }
  return answer;
}

/** Whether the group's options, the device and the dtype allow the fused kernel. */
export function fusedAllowed(opName: string, group: ParamGroup, param: Tensor): boolean {
  if (group.foreach === true || group.fused === false) return false;
  return isFloatingDType(param.dtype) && hasKernel(opName, param.device);
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
