import { type NestedArray, noGrad, scope, Tensor, type TypedArray, tensor, warn } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import { shapeText } from '../graph/shape.ts';

/** Samples along the first axis: a tensor, nested arrays, or a typed array (one number a sample). */
export type Data = Tensor | NestedArray | TypedArray;

/** Samples as tensors: inputs, targets, and a weight a sample. */
export interface Arrays {
  readonly x: readonly Tensor[];
  readonly y: Tensor | null;
  readonly weight: Tensor | null;
}

export const asTensor = (data: Data): Tensor => (data instanceof Tensor ? data : tensor(data));

/** Data as tensors. @throws KerasError BAD_DATA for parts of unequal length or without samples */
export function arraysOf(
  x: Data | readonly Data[],
  y: Data | null,
  weight: Data | null,
  several: boolean,
): Arrays {
  const inputs = (several ? (x as readonly Data[]) : [x as Data]).map(asTensor);
  const arrays = {
    x: inputs,
    y: y === null ? null : asTensor(y),
    weight: weight === null ? null : asTensor(weight),
  };
  const samples = countOf(arrays);
  for (const [name, part] of named(arrays)) {
    if (part.ndim === 0)
      throw new KerasError('BAD_DATA', `${name}: expected samples along a first axis, got one number`);
    if (part.size(0) === samples) continue;
    throw new KerasError(
      'BAD_DATA',
      `${name}: expected ${samples} samples as in x, but it has shape ${shapeText(part.shape)}`,
    );
  }
  if (samples === 0) throw new KerasError('BAD_DATA', 'x: there are no samples');
  return arrays;
}

export const countOf = ({ x }: Arrays): number => x[0]!.shape[0] ?? 0;

function named({ x, y, weight }: Arrays): [name: string, part: Tensor][] {
  const parts: [string, Tensor | null][] = [
    ...x.map((part, i): [string, Tensor] => [x.length === 1 ? 'x' : `x[${i}]`, part]),
    ['y', y],
    ['sampleWeight', weight],
  ];
  return parts.filter((part): part is [string, Tensor] => part[1] !== null);
}

/**
 * Looks for NaN and infinities. HOST SYNC, once for the whole data.
 * @param refuse whether they are an error (training, evaluation) or a warning (prediction)
 * @throws KerasError BAD_DATA naming the part, how many samples and the first one
 */
export function checkFinite(arrays: Arrays, refuse: boolean): void {
  for (const [name, part] of named(arrays)) {
    if (!part.isFloatingPoint()) continue;
    const message = scope(() =>
      noGrad(() => {
        const broken = part.isfinite().logicalNot().reshape(part.size(0), -1).any(1);
        const count = Number(broken.sum().item());
        if (count === 0) return null;
        const first = Number(broken.to('int32').argmax().item());
        return `${name}: ${count} of ${part.size(0)} samples hold NaN or infinity, the first is number ${first}`;
      }),
    );
    if (message === null) continue;
    if (!refuse) warn('NOT_FINITE', message);
    else throw new KerasError('BAD_DATA', message, 'clean the data, or leave these samples out');
  }
}

/** Samples `from` to before `to`, in the order of `order` where given, as views or copies on the data's device. */
export function batchOf(arrays: Arrays, from: number, to: number, order: Tensor | null): Arrays {
  const pick = (part: Tensor): Tensor =>
    order === null ? part.narrow(0, from, to - from) : part.indexSelect(0, order.narrow(0, from, to - from));
  return {
    x: arrays.x.map(pick),
    y: arrays.y === null ? null : pick(arrays.y),
    weight: arrays.weight === null ? null : pick(arrays.weight),
  };
}

/** The batch where the model is; from page-locked memory, so that copies to a GPU overlap with work. */
export function onDevice({ x, y, weight }: Arrays, device: string): Arrays {
  const place = (part: Tensor): Tensor => {
    if (part.device === device) return part;
    const host = device.startsWith('cuda') && part.device === 'cpu' ? part.pinMemory() : part;
    return host.to({ device, nonBlocking: true });
  };
  return { x: x.map(place), y: y && place(y), weight: weight && place(weight) };
}

/** The first samples and the last `share` of them, as views. @throws KerasError BAD_DATA when one part is empty */
export function splitOff(arrays: Arrays, share: number): [rest: Arrays, last: Arrays] {
  const samples = countOf(arrays);
  const at = Math.floor(samples * (1 - share));
  if (!(share > 0 && share < 1) || at === 0 || at === samples) {
    throw new KerasError(
      'BAD_DATA',
      `validationSplit: ${share} of ${samples} samples leaves no sample to train on or none to validate on`,
    );
  }
  return [batchOf(arrays, 0, at, null), batchOf(arrays, at, samples, null)];
}
