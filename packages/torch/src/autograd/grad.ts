import { native, TorchError } from '@mezzo/libtorch';
import { withoutAutocast } from '../amp/restore.ts';
import { refuseUnderAutocast } from '../amp/state.ts';
import { adoptOptional } from '../tensor/lifetime.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { withOrigin } from './anomaly.ts';
import { handlesOf, insideBackward } from './callback.ts';

export interface BackwardOptions {
  /** d(objective)/d(this); needed unless the tensor has one element. */
  gradient?: Tensor;
  /** Keep the graph for another backward. Default: the value of createGraph. */
  retainGraph?: boolean;
  /** Record the backward pass itself, for higher derivatives. */
  createGraph?: boolean;
  /** Accumulate into these leaves only. */
  inputs?: readonly Tensor[];
}

export interface GradOptions {
  gradOutputs?: readonly (Tensor | null)[] | Tensor;
  retainGraph?: boolean;
  createGraph?: boolean;
  /** Return null for inputs that the outputs do not depend on, instead of an error. */
  allowUnused?: boolean;
}

/**
 * Accumulates d(outputs)/d(leaf) into `.grad` of the leaves (torch.autograd.backward).
 * @throws AmpError INSIDE_AUTOCAST in an autocast region
 */
export function backward(outputs: Tensor | readonly Tensor[], options: BackwardOptions = {}): void {
  const list = asList(outputs);
  const createGraph = options.createGraph ?? false;
  runEngine('backward()', () =>
    native().backward(
      handlesOf(list),
      options.gradient === undefined ? undefined : handlesOf([options.gradient]),
      options.retainGraph ?? createGraph,
      createGraph,
      options.inputs === undefined ? undefined : handlesOf(options.inputs),
    ),
  );
}

/**
 * d(outputs)/d(inputs), without touching any `.grad` (torch.autograd.grad). With `allowUnused` an input that
 * has no influence gives null.
 * @throws AmpError INSIDE_AUTOCAST in an autocast region
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions & { allowUnused: true },
): (Tensor | null)[];
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options?: GradOptions,
): Tensor[];
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions = {},
): (Tensor | null)[] {
  const outputList = asList(outputs);
  const inputList = asList(inputs);
  const gradOutputs = options.gradOutputs === undefined ? undefined : asList(options.gradOutputs);
  if (gradOutputs !== undefined && gradOutputs.length !== outputList.length) {
    throw new TorchError(
      'BAD_ARGUMENT',
      `grad: ${outputList.length} outputs but ${gradOutputs.length} gradOutputs; give one for each output`,
    );
  }
  const createGraph = options.createGraph ?? false;
  const result = runEngine('grad()', () =>
    native().grads(
      handlesOf(outputList),
      handlesOf(inputList),
      gradOutputs === undefined ? undefined : handlesOf(gradOutputs),
      options.retainGraph ?? createGraph,
      createGraph,
      options.allowUnused ?? false,
    ),
  );
  return Array.from(result, adoptOptional);
}

/** A backward within a backward may find itself in the region that a custom backward restored: off it goes. */
function runEngine<T>(what: string, run: () => T): T {
  if (insideBackward()) return withoutAutocast(run);
  refuseUnderAutocast(what);
  try {
    return run();
  } catch (error) {
    throw withOrigin(error);
  }
}

const asList = <T>(value: T | readonly T[]): readonly T[] =>
  Array.isArray(value) ? (value as readonly T[]) : [value as T];
