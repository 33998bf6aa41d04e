import { type DType, keep, type nn, noGrad, type RemovableHandle, scope, type Tensor } from '@mezzo/torch';
import { mapTensors } from '../islands/cast-tensors.ts';
import { type PassRecord, runPass } from './run-pass.ts';
import type { PreflightSubject } from './subject.ts';

/** What a control pass rounds, and how. */
export interface ControlRounding {
  /** The modules that compute in low precision. */
  readonly layers: ReadonlySet<string>;
  /** `weights`: those alone, the values between the modules stay exact. */
  readonly of: 'weights' | 'weights and values';
  /**
   * 1: on the format's grid, as kernels do. Another factor, near 1: on a grid stretched by it, which rounds every number
   * by as much and each in its own way.
   */
  readonly stretch: number;
}

/**
 * What rounding alone does to this model on this batch: float32 arithmetic, but the modules in `layers` take
 * and return values rounded to the low dtype, and read weights rounded to it. Errors of this pass are the price of the
 * format; those beyond it are the fault of kernels, ranges or formulas, and an island would cure them.
 */
export function runControlPass<D>(
  subject: PreflightSubject<D>,
  batch: number,
  { layers, of, stretch }: ControlRounding,
): PassRecord<D> {
  const { model, low } = subject;
  const modules = [...model.namedModules()].filter(([name]) => layers.has(name));
  const rounding = new Rounding(low, stretch);
  const restoreWeights = roundWeights(
    modules.map(([, module]) => module),
    rounding,
  );
  const round = (value: unknown) =>
    mapTensors(value, (tensor) => (tensor.dtype === 'float32' ? rounding.passing(tensor) : tensor));
  const handles: RemovableHandle[] =
    of === 'weights'
      ? []
      : modules.map(([, module]) =>
          module.aroundForward((proceed, inputs) => round(proceed(...(round(inputs) as unknown[])))),
        );
  try {
    return runPass(subject, { batch, dtype: 'float32', scale: 1 });
  } finally {
    for (const handle of handles) handle.remove();
    restoreWeights();
  }
}

/** Rounds to a low dtype and back, on its own grid or on one stretched by `stretch`; twice is as good as once. */
class Rounding {
  private readonly low: DType;
  private readonly stretch: number;

  constructor(low: DType, stretch: number) {
    this.low = low;
    this.stretch = stretch;
  }

  of(value: Tensor): Tensor {
    const { low, stretch } = this;
    return scope(() =>
      stretch === 1 ? value.to(low).float() : value.mul(stretch).to(low).float().div(stretch),
    );
  }

  /** The value is rounded, the gradient passes as if it were not. */
  passing(value: Tensor): Tensor {
    return scope(() =>
      value.add(
        noGrad(() => {
          const own = value.detach();
          return this.of(own).sub(own);
        }),
      ),
    );
  }
}

/** Rounds what autocast would cast: weights of two dimensions and more, and their biases. Returns what puts them back. */
function roundWeights(modules: readonly nn.Module[], rounding: Rounding): () => void {
  const weights = new Set(modules.flatMap(castParameters));
  return scope(() =>
    noGrad(() => {
      const saved = Array.from(weights, (weight) => [weight, keep(weight.detach().clone())] as const);
      for (const [weight] of saved) scope(() => weight.detach().copy_(rounding.of(weight.detach())));
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
