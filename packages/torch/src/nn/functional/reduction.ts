import { TorchError } from '@mezzo/libtorch';
import type { Tensor } from '../../tensor/tensor.ts';

export type Reduction = 'none' | 'mean' | 'sum';

export interface ReductionOption {
  reduction?: Reduction;
}

/** The numbers by which LibTorch knows the reductions. */
const REDUCTIONS: Record<Reduction, number> = { none: 0, mean: 1, sum: 2 };

export function reductionOf(name: Reduction = 'mean'): number {
  const value = REDUCTIONS[name];
  if (value === undefined) throw new TorchError('VALUE', `${name} is not a valid value for reduction`);
  return value;
}

/** For losses that are made of operations. */
export function reduce(losses: Tensor, { reduction = 'mean' }: ReductionOption): Tensor {
  reductionOf(reduction);
  return reduction === 'none' ? losses : losses[reduction]();
}
