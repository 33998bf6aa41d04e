import type { Tensor } from '../tensor/tensor.ts';
import { DistributedError } from './errors.ts';
import type { ProcessGroup } from './group.ts';
import { allGatherObject } from './objects.ts';

type Described = [name: string, description: string];

const describe = (tensor: Tensor) => `${tensor.dtype} [${tensor.shape.join(', ')}]`;
const strides = (tensor: Tensor) => `, strides [${tensor.stride().join(', ')}]`;

/**
 * Compares names, dtypes, shapes and strides over the ranks; every rank must call it and all throw alike.
 * @throws DistributedError VALUE with the first difference and both sides of it
 */
export function requireSameShapes(
  tensors: readonly (readonly [string, Tensor])[],
  group: ProcessGroup,
): void {
  const own = tensors.map(([name, tensor]): Described => [name, describe(tensor) + strides(tensor)]);
  const [first = [], ...others] = allGatherObject(own, { group });
  for (const [i, other] of others.entries()) {
    const difference = findDifference(first, other, group.ranks[0]!, group.ranks[i + 1]!);
    if (difference === undefined) continue;
    throw new DistributedError('VALUE', `the model is not the same on all ranks: ${difference}`, {
      hint: 'build the same model on every rank, before it is wrapped',
    });
  }
}

function findDifference(a: Described[], b: Described[], rankA: number, rankB: number): string | undefined {
  if (a.length !== b.length) {
    return `${a.length} parameters and buffers on rank ${rankA}, ${b.length} on rank ${rankB}`;
  }
  for (const [i, [nameA, shapeA]] of a.entries()) {
    const [nameB, shapeB] = b[i]!;
    if (nameA !== nameB) return `${nameA} on rank ${rankA} where rank ${rankB} has ${nameB}`;
    if (shapeA !== shapeB) return `${nameA} is ${shapeA} on rank ${rankA}, ${shapeB} on rank ${rankB}`;
  }
  return undefined;
}
