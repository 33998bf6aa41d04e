import type { Tensor } from '../tensor/tensor.ts';

/** Named tensors of one device at a time, in the order in which devices appear. */
export function byDevice<T extends readonly [name: string, tensor: Tensor]>(named: readonly T[]): T[][] {
  const found = new Map<string, T[]>();
  for (const entry of named) {
    const { device } = entry[1];
    const here = found.get(device);
    if (here === undefined) found.set(device, [entry]);
    else here.push(entry);
  }
  return [...found.values()];
}
