import { keep, noGrad, scope, type Tensor, zerosLike } from '@mezzo/torch';
import { checkOptions, KerasError } from '../errors.ts';
import * as foreach from './foreach.ts';
import type { LearningRateSchedule } from './schedules.ts';

export interface OptimizerOptions {
  learningRate?: number | LearningRateSchedule;
  /** Decoupled: each variable loses this share, times the learning rate, before its update. */
  weightDecay?: number | null;
  /** Largest L2 norm of each gradient by itself. */
  clipnorm?: number | null;
  /** Largest L2 norm of all gradients together. */
  globalClipnorm?: number | null;
  /** Largest absolute value of a gradient's elements. */
  clipvalue?: number | null;
}

const OPTIONS = ['learningRate', 'weightDecay', 'clipnorm', 'globalClipnorm', 'clipvalue'] as const;

/** What the update rule gets, one entry a variable. */
export interface Update {
  readonly variables: readonly Tensor[];
  readonly grads: readonly Tensor[];
  readonly learningRate: number;
  /** Number of this step, from 1. */
  readonly step: number;
  /** What is remembered of each variable under this name. */
  slot(name: string): Tensor[];
}

/**
 * Base of Keras's optimizers: their update rules, order (clipping, weight decay, update) and defaults. The host
 * knows rate and step number, so an update reads nothing from the device.
 */
export abstract class Optimizer {
  #iterations = 0;
  /** Variables it was built with; null before. */
  #variables: readonly Tensor[] | null = null;
  #learningRate: number | LearningRateSchedule;
  readonly weightDecay: number | null;
  readonly clipnorm: number | null;
  readonly globalClipnorm: number | null;
  readonly clipvalue: number | null;
  readonly #slots = new Map<string, Tensor[]>();
  readonly #undecayed = new Set<Tensor>();

  /** @throws KerasError UNKNOWN_ID for an unknown option, BAD_OPTION for several ways of clipping */
  constructor(
    options: OptimizerOptions,
    defaults: { learningRate: number },
    ownOptions: readonly string[] = [],
  ) {
    checkOptions(new.target.name, options, [...OPTIONS, ...ownOptions]);
    this.#learningRate = options.learningRate ?? defaults.learningRate;
    this.weightDecay = options.weightDecay ?? null;
    this.clipnorm = options.clipnorm ?? null;
    this.globalClipnorm = options.globalClipnorm ?? null;
    this.clipvalue = options.clipvalue ?? null;
    if ([this.clipnorm, this.globalClipnorm, this.clipvalue].filter((limit) => limit !== null).length > 1) {
      throw new KerasError(
        'BAD_OPTION',
        `${new.target.name}: only one of clipnorm, globalClipnorm and clipvalue can be set`,
      );
    }
  }

  /** Names of what is remembered of each variable; all of it has the variable's shape. */
  protected abstract readonly slotNames: readonly string[];

  /** First value of a slot; 0 unless said otherwise. */
  protected slotStart(_name: string): number {
    return 0;
  }

  /** Changes variables and slots by one step. */
  protected abstract update(update: Update): void;

  /** Steps that were applied. */
  get iterations(): number {
    return this.#iterations;
  }

  /** The rate of the next step. */
  get learningRate(): number {
    return typeof this.#learningRate === 'number' ? this.#learningRate : this.#learningRate(this.iterations);
  }

  /** @throws KerasError BAD_OPTION when the rate follows a schedule */
  set learningRate(rate: number) {
    if (typeof this.#learningRate !== 'number') {
      throw new KerasError(
        'BAD_OPTION',
        `${this.constructor.name}: the learning rate follows a schedule and cannot be set`,
      );
    }
    this.#learningRate = rate;
  }

  /** Multiplies the loss where gradients need it (LossScaleOptimizer); the loss itself here. */
  scaleLoss(loss: Tensor): Tensor {
    return loss;
  }

  /** Takes over the variables to train; once. @throws KerasError NOT_READY for other ones afterwards */
  build(variables: readonly Tensor[]): void {
    if (this.#variables !== null) {
      const known = new Set(this.#variables);
      if (variables.every((variable) => known.has(variable))) return;
      throw new KerasError(
        'NOT_READY',
        `${this.constructor.name}: it was built with other variables`,
        'make a new optimizer, or compile the model again after changing what is trainable',
      );
    }
    this.#variables = [...variables];
    for (const name of this.slotNames) {
      const start = this.slotStart(name);
      const tensors = variables.map((variable) => keep(zerosLike(variable)));
      if (start !== 0) for (const tensor of tensors) tensor.fill_(start);
      this.#slots.set(name, tensors);
    }
  }

  /** Variables that weight decay leaves alone. */
  excludeFromWeightDecay(variables: Iterable<Tensor>): void {
    for (const variable of variables) this.#undecayed.add(variable);
  }

  /** The optimizer's own state: slots by name, one tensor a variable. */
  get slots(): ReadonlyMap<string, readonly Tensor[]> {
    return this.#slots;
  }

  /**
   * One step by these gradients (null: leave the variable alone); they are not changed. `variables` may be left
   * out after `build`.
   * @throws KerasError NOT_READY without variables, SHAPE_MISMATCH for another number of gradients
   */
  apply(grads: readonly (Tensor | null)[], variables: readonly Tensor[] | null = this.#variables): void {
    if (variables === null) {
      throw new KerasError(
        'NOT_READY',
        `${this.constructor.name}: apply needs the variables, or build before`,
      );
    }
    if (grads.length !== variables.length) {
      throw new KerasError(
        'SHAPE_MISMATCH',
        `${this.constructor.name}: expected ${variables.length} gradients, one a variable, but got ${grads.length}`,
      );
    }
    noGrad(() =>
      scope(() => {
        this.build(variables);
        const found = grads.flatMap((grad, i) => (grad === null ? [] : [{ grad, variable: variables[i]! }]));
        if (found.length > 0) this.step(found);
      }),
    );
    this.#iterations += 1;
  }

  private step(found: readonly { grad: Tensor; variable: Tensor }[]): void {
    const variables = found.map(({ variable }) => variable);
    const grads = this.clipped(found.map(({ grad }, i) => grad.to(variables[i]!.dtype)));
    const learningRate = Math.fround(this.learningRate);
    this.decay(variables, learningRate);
    const places = variables.map((variable) => this.#variables!.indexOf(variable));
    const slot = (name: string) => places.map((place) => this.#slots.get(name)![place]!);
    this.update({ variables, grads, learningRate, step: this.iterations + 1, slot });
  }

  private clipped(grads: Tensor[]): Tensor[] {
    const { clipnorm, globalClipnorm, clipvalue } = this;
    if (clipnorm !== null && clipnorm > 0) return grads.map((grad) => limitNorm(grad, grad.norm(), clipnorm));
    if (globalClipnorm !== null && globalClipnorm > 0) {
      const squares = grads.map((grad) => grad.square().sum());
      const norm = squares.reduce((sum, square) => sum.add(square)).sqrt();
      return grads.map((grad) => limitNorm(grad, norm, globalClipnorm));
    }
    if (clipvalue !== null && clipvalue > 0) return grads.map((grad) => grad.clamp(-clipvalue, clipvalue));
    return grads;
  }

  private decay(variables: readonly Tensor[], learningRate: number): void {
    if (this.weightDecay === null) return;
    const decayed = variables.filter((variable) => !this.#undecayed.has(variable));
    if (decayed.length === 0) return;
    const factor = Math.fround(this.weightDecay);
    foreach.add_(decayed, foreach.mulScalar(foreach.mulScalar(decayed, factor), learningRate), -1);
  }
}

/** The gradient shortened so that `norm` becomes at most `limit`. */
const limitNorm = (grad: Tensor, norm: Tensor, limit: number): Tensor =>
  grad.mul(limit).div(norm.clampMin(limit));
