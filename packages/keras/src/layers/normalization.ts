import { nn, type Tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import { requireSize, type Shape, shapeMismatch } from '../graph/shape.ts';
import type { InitializerId } from '../initializers/index.ts';
import type { RegularizerId } from '../regularizers.ts';
import { Layer, type LayerOptions } from './layer.ts';
import { channelsFirst, channelsLast } from './window.ts';

export interface NormalizationOptions extends LayerOptions {
  /** Default 0.001. */
  epsilon?: number;
  center?: boolean;
  scale?: boolean;
  betaInitializer?: InitializerId;
  gammaInitializer?: InitializerId;
  betaRegularizer?: RegularizerId | null;
  gammaRegularizer?: RegularizerId | null;
}

const OPTIONS = [
  'epsilon',
  'center',
  'scale',
  'betaInitializer',
  'gammaInitializer',
  'betaRegularizer',
  'gammaRegularizer',
] as const;

/** Normalisation within each sample, computed in float32 whatever the policy. */
abstract class SampleNormalization extends Layer {
  gamma: nn.Parameter | null = null;
  beta: nn.Parameter | null = null;
  readonly epsilon: number;
  readonly #options: NormalizationOptions;

  constructor(options: NormalizationOptions, ownOptions: readonly string[]) {
    super(options, [...OPTIONS, ...ownOptions]);
    this.epsilon = options.epsilon ?? 0.001;
    this.#options = options;
  }

  protected addScaleAndCenter(shape: readonly number[]): void {
    const { scale = true, center = true, ...rest } = this.#options;
    const { gammaInitializer = 'ones', betaInitializer = 'zeros' } = rest;
    if (scale) {
      this.gamma = this.addWeight(shape, {
        initializer: gammaInitializer,
        regularizer: rest.gammaRegularizer,
      });
    }
    if (center) {
      this.beta = this.addWeight(shape, { initializer: betaInitializer, regularizer: rest.betaRegularizer });
    }
  }

  /** As the layer reads it, then in the precision in which it normalises. */
  protected wide(variable: nn.Parameter | null): Tensor | null {
    return variable === null ? null : this.value(variable).float();
  }
}

export interface LayerNormalizationOptions extends NormalizationOptions {
  /** The last axis (default), or several that are the last ones. */
  axis?: number | readonly number[];
}

/** Each sample over its last axes. */
export class LayerNormalization extends SampleNormalization {
  readonly #axes: readonly number[];

  constructor(options: LayerNormalizationOptions = {}) {
    super(options, ['axis']);
    const { axis = -1 } = options;
    this.#axes = typeof axis === 'number' ? [axis] : axis;
  }

  protected override build(inputShape: Shape): void {
    const count = this.requireLastAxes(inputShape);
    const axes = Array.from({ length: count }, (_, i) => i - count);
    this.addScaleAndCenter(axes.map((axis) => requireSize(this.name, inputShape, axis)));
  }

  override computeOutputShape(inputShape: Shape): Shape {
    const shape = (this.gamma ?? this.beta)?.shape ?? [];
    const given = inputShape.slice(inputShape.length - shape.length);
    if (shape.some((size, i) => given[i] !== null && given[i] !== size)) {
      throw shapeMismatch(this.name, `last sizes ${shape.join(' × ')}`, inputShape);
    }
    return inputShape;
  }

  /** How many axes, counted from the end. @throws KerasError BAD_OPTION when they are not the last ones */
  private requireLastAxes({ length: rank }: { length: number }): number {
    const places = this.#axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b);
    if (places.every((place, i) => place === rank - places.length + i && place > 0)) return places.length;
    throw new KerasError(
      'BAD_OPTION',
      `layer '${this.name}': axis must name the last axes, not [${this.#axes.join(', ')}] of ${rank}`,
    );
  }

  protected override compute(x: Tensor): Tensor {
    const sizes = x.shape.slice(x.ndim - this.requireLastAxes(x.shape));
    const weights = [this.wide(this.gamma), this.wide(this.beta)] as const;
    return nn.functional.layerNorm(x.float(), sizes, ...weights, this.epsilon).to(this.computeDtype);
  }
}

export interface GroupNormalizationOptions extends NormalizationOptions {
  /** Default 32; -1: each channel by itself. */
  groups?: number;
}

/** Each sample over groups of channels (the last axis) and all positions. */
export class GroupNormalization extends SampleNormalization {
  readonly #groups: number;

  constructor(options: GroupNormalizationOptions = {}) {
    super(options, ['groups']);
    this.#groups = options.groups ?? 32;
  }

  protected override build(inputShape: Shape): void {
    this.addScaleAndCenter([requireSize(this.name, inputShape, -1)]);
  }

  override computeOutputShape(inputShape: Shape): Shape {
    const channels = inputShape.at(-1) ?? null;
    if (channels !== null && this.#groups > 0 && channels % this.#groups !== 0) {
      throw shapeMismatch(this.name, `channels (the last axis) in ${this.#groups} equal groups`, inputShape);
    }
    return inputShape;
  }

  protected override compute(x: Tensor): Tensor {
    const groups = this.#groups < 0 ? x.size(-1) : this.#groups;
    const first = channelsFirst(x.float());
    const y = nn.functional.groupNorm(
      first,
      groups,
      this.wide(this.gamma),
      this.wide(this.beta),
      this.epsilon,
    );
    return channelsLast(y).to(this.computeDtype);
  }
}
