import { keep, type nn, noGrad, ops, type Tensor } from '@mezzo/torch';

export interface EmaOptions {
  /** Decay that the average approaches; default 0.9999. */
  decay?: number;
  /** Updates in which it gets there, by 1 - exp(-n / tau); default 2000. */
  tau?: number;
  /** Updates already made, when training resumes. */
  updates?: number;
}

/**
 * Exponential moving average of a model: every floating-point tensor of its state, BatchNorm statistics
 * included. Validation and `best` use the average.
 */
export class ModelEma<M extends nn.Module> {
  /** The averaged model, in evaluation mode and without gradients. */
  readonly model: M;
  updates: number;
  private readonly maxDecay: number;
  private readonly tau: number;
  private readonly averages: Tensor[];
  private readonly sources: Tensor[];

  /**
   * @param source the model in training; it must keep its tensors (move it to its device before)
   * @param twin a model of the same structure, device and weights, which becomes the average
   */
  constructor(source: M, twin: M, options: EmaOptions = {}) {
    this.model = twin;
    this.updates = options.updates ?? 0;
    this.maxDecay = options.decay ?? 0.9999;
    this.tau = options.tau ?? 2000;
    twin.eval();
    twin.requiresGrad_(false);
    const state = source.stateDict();
    const pairs = Object.entries(twin.stateDict()).filter(([, average]) => average.isFloatingPoint());
    this.averages = pairs.map(([, average]) => keep(average));
    this.sources = pairs.map(([key]) => keep(state[key]!));
  }

  /** Frees what it holds of both models, beside the models themselves. */
  dispose(): void {
    for (const tensor of [...this.averages, ...this.sources]) tensor.dispose();
  }

  /** Decay of update `n`, counted from 1: young averages forget faster. */
  decay(n: number): number {
    return this.maxDecay * (1 - Math.exp(-n / this.tau));
  }

  /** Moves the average towards the model. Not called for a step that was skipped. */
  update(): void {
    this.updates += 1;
    noGrad(() => ops._foreach_lerp_(this.averages, this.sources, 1 - this.decay(this.updates)));
  }
}
