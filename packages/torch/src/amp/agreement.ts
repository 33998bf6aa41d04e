import { allReduce } from '../distributed/collectives.ts';
import type { ProcessGroup } from '../distributed/group.ts';
import { tensor } from '../tensor/creation.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Raises, in place, the flags that any rank has raised; every rank has one for the same devices. */
export function raiseEverywhere(flags: Iterable<Tensor>, group: ProcessGroup | undefined): void {
  if (group === undefined) return;
  const works = Array.from(flags, (flag) => allReduce(flag, { op: 'max', group, asyncOp: true }));
  for (const work of works) work.wait();
}

/** The largest that any rank has; null when none has one. */
export function largestEverywhere(value: number | null, group: ProcessGroup | undefined): number | null {
  if (group === undefined) return value;
  return scope(() => {
    // NaN has no place in an order: it counts as the infinity that it stands for.
    const largest = tensor([Number.isNaN(value) ? Infinity : (value ?? -1)], { dtype: 'float64' });
    allReduce(largest, { op: 'max', group });
    const found = Number(largest.item());
    return found < 0 ? null : found;
  });
}
