import { functionMode, type nn, type Tensor } from '@mezzo/torch';
import { mapTensors } from '../islands/cast-tensors.ts';
import { type FirstNonFinite, OUTSIDE, observe, type PlanLookup } from '../observe/index.ts';
import { LayerStack } from './layer-stack.ts';
import { largestMagnitudes } from './measure.ts';
import type { FaultReport } from './report.ts';
import type { Treatment } from './treatments.ts';

/** Runs a batch under the observer and names the operation at which finite numbers became infinite or undefined. */
export function observedFault(
  model: nn.Module,
  batch: () => void,
  { plan, treatment = (treated) => treated() }: { plan?: PlanLookup; treatment?: Treatment } = {},
): FaultReport | null {
  const { trace } = observe(model, { finiteness: true, plan }, () => treatment(batch));
  const first = trace.firstNonFinite;
  return first === null ? null : faultOf(model, first);
}

function faultOf(model: nn.Module, first: FirstNonFinite): FaultReport {
  const { layer, phase, op, inner, node, forwardOp, rule, inputs, output } = first;
  return {
    phase,
    layer: layer === OUTSIDE ? null : layer,
    module: classOf(model, layer),
    op: phase === 'backward' ? (forwardOp ?? op) : op,
    inner,
    node,
    dtype: output.dtype,
    rule,
    inputs: inputs.map(({ dtype, shape, largest }) => ({ dtype, shape, largest })),
    output: { dtype: output.dtype, shape: output.shape },
  };
}

const classOf = (model: nn.Module, layer: string | null): string | null =>
  moduleNamed(model, layer)?.constructor.name ?? null;

export function moduleNamed(model: nn.Module, name: string | null): nn.Module | undefined {
  for (const [each, module] of model.namedModules()) if (each === name) return module;
  return undefined;
}

/**
 * Runs a batch and names the operation that is first to read numbers that are not finite already: the first in a
 * layer of the model, else the first anywhere. HOST SYNC: one per operation.
 */
export function firstReader(model: nn.Module, batch: () => void): FaultReport | null {
  let found: FaultReport | null = null;
  const layers = new LayerStack(model);
  try {
    functionMode((name, args, proceed) => {
      const wanted = found === null || (found.module === null && layers.current !== null);
      const given = wanted ? tensorsIn(args) : [];
      const largest = largestMagnitudes(given);
      const result = proceed(args);
      if (largest.some(Number.isNaN)) found = readerOf(model, layers.current, name, given, largest, result);
      return result;
    }, batch);
  } finally {
    layers.remove();
  }
  return found;
}

function readerOf(
  model: nn.Module,
  layer: string | null,
  op: string,
  given: readonly Tensor[],
  largest: readonly number[],
  result: unknown,
): FaultReport {
  const made = tensorsIn(result)[0] ?? given[0]!;
  return {
    phase: 'forward',
    layer,
    module: classOf(model, layer),
    op,
    inner: null,
    node: null,
    dtype: made.dtype,
    rule: 'inputs',
    inputs: given.map(({ dtype, shape }, i) => ({
      dtype,
      shape,
      largest: Number.isNaN(largest[i]) ? null : largest[i]!,
    })),
    output: { dtype: made.dtype, shape: made.shape },
  };
}

function tensorsIn(value: unknown): Tensor[] {
  const found: Tensor[] = [];
  mapTensors(value, (tensor) => {
    found.push(tensor);
    return tensor;
  });
  return found;
}
