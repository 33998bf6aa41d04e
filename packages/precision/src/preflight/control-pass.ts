import { type DType, keep, type nn, noGrad, type RemovableHandle, scope, type Tensor } from '@mezzo/torch';
import { mapTensors } from '../islands/cast-tensors.ts';
import { type PassRecord, runPass } from './run-pass.ts';
import type { PreflightSubject } from './subject.ts';

/**
 * What rounding alone does to this model on this batch: float32 arithmetic, but the modules in `lowLayers` take
 * and return values rounded to the low dtype, and read weights rounded to it. Errors of this pass are the price of the
 * format; those beyond it are the fault of kernels, ranges or formulas, and an island would cure them.
 */
export function runControlPass<D>(
  subject: PreflightSubject<D>,
  batch: number,
  lowLayers: ReadonlySet<string>,
): PassRecord<D> {
  const { model, low } = subject;
  const modules = [...model.namedModules()].filter(([name]) => lowLayers.has(name));
  const restoreWeights = roundWeights(
    modules.map(([, module]) => module),
    low,
  );
  const round = (value: unknown) =>
    mapTensors(value, (tensor) => (tensor.dtype === 'float32' ? rounded(tensor, low) : tensor));
  const handles: RemovableHandle[] = modules.map(([, module]) =>
    module.aroundForward((proceed, inputs) => round(proceed(...(round(inputs) as unknown[])))),
  );
  try {
    return runPass(subject, { batch, dtype: 'float32', scale: 1 });
  } finally {
    for (const handle of handles) handle.remove();
    restoreWeights();
  }
}

/** The value is rounded, the gradient passes as if it were not. */
function rounded(value: Tensor, low: DType): Tensor {
  return scope(() => value.add(noGrad(() => value.detach().to(low).float().sub(value.detach()))));
}

/** Rounds what autocast would cast: weights of two dimensions and more, and their biases. Returns what puts them back. */
function roundWeights(modules: readonly nn.Module[], low: DType): () => void {
  const weights = new Set(modules.flatMap(castParameters));
  return scope(() =>
    noGrad(() => {
      const saved = Array.from(weights, (weight) => [weight, keep(weight.detach().clone())] as const);
      for (const [weight] of saved) weight.detach().copy_(weight.detach().to(low));
      return () => {
        for (const [weight, copy] of saved) {
          scope(() => noGrad(() => weight.detach().copy_(copy)));
          copy.dispose();
        }
      };
    }),
  );
}

/** A module's own parameters when they are those of a product; normalisations keep theirs in float32. */
function castParameters(module: nn.Module): nn.Parameter[] {
  const own = [...module.namedParameters()].flatMap(([name, parameter]) =>
    name.includes('.') || parameter.dtype !== 'float32' ? [] : [parameter],
  );
  return own.some(({ ndim }) => ndim >= 2) ? own : [];
}
