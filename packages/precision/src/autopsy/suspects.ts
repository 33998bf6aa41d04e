import { type DType, type nn, noGrad, scope, type Tensor } from '@mezzo/torch';
import { limitsOf } from './limits.ts';
import { largestMagnitudes, nonFiniteIn } from './measure.ts';
import type { InputReport, StateReport } from './report.ts';

/** A tensor of the batch. `place` tells in words what lies at an index: a file, a row, a column. */
export interface NamedInput {
  readonly tensor: Tensor;
  readonly place?: (index: readonly number[]) => string;
}

/** Inputs that hold an infinity or NaN. */
export function badInputs(inputs: Readonly<Record<string, NamedInput>>): InputReport[] {
  const entries = Object.entries(inputs);
  const largest = largestMagnitudes(entries.map(([, { tensor }]) => tensor));
  return entries.flatMap(([name, { tensor, place = placeInWords }], i) => {
    const found = Number.isNaN(largest[i]) ? nonFiniteIn(tensor) : null;
    return found === null ? [] : [{ name, ...found, place: place(found.index) }];
  });
}

const placeInWords = (index: readonly number[]) =>
  index.length === 0 ? 'its only number' : `index [${index.join(', ')}]`;

/** Parameters and buffers that are not finite, and parameters larger than `dtype` can hold. */
export function badState(model: nn.Module, dtype: DType): StateReport[] {
  const limit = limitsOf(dtype).largest;
  const state = [
    ...Array.from(model.namedParameters(), ([name, tensor]) => ({
      name,
      tensor,
      kind: 'parameter' as const,
    })),
    ...Array.from(model.namedBuffers(), ([name, tensor]) => ({ name, tensor, kind: 'buffer' as const })),
  ];
  const sizes = largestMagnitudes(state.map(({ tensor }) => tensor));
  return state.flatMap(({ name, kind }, i): StateReport[] => {
    const size = sizes[i]!;
    if (Number.isNaN(size)) return [{ name, kind, largest: null }];
    return kind === 'parameter' && size > limit ? [{ name, kind, largest: size }] : [];
  });
}

// Initialisations give 0.3 to 1.4, trained networks a few; an embedding table may reach 20, but not most weights.
const GROWN = 10;

/** How many of the weight matrices and kernels have outgrown any initialisation. HOST SYNC: one per weight. */
export function grownWeights(model: nn.Module): { grown: number; of: number } {
  const weights = model.parameters().filter((weight) => weight.ndim >= 2 && weight.numel() > 1);
  const grown = weights.filter((weight) => typicalSize(weight) > GROWN).length;
  return { grown, of: weights.length };
}

/** Median magnitude in units of 1/√(fan in): a single huge weight does not move it. */
function typicalSize(weight: Tensor): number {
  const median = scope(() => noGrad(() => Number(weight.detach().abs().flatten().median().item())));
  return median * Math.sqrt(weight.numel() / weight.size(0));
}
