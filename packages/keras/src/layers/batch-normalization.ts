import { type nn, noGrad, op, type Tensor } from '@mezzo/torch';
import { requireSize, type Shape, shapeMismatch } from '../graph/shape.ts';
import type { InitializerId } from '../initializers/index.ts';
import type { RegularizerId } from '../regularizers.ts';
import { type CallOptions, Layer, type LayerOptions } from './layer.ts';
import { channelsFirst, channelsLast } from './window.ts';

export interface BatchNormalizationOptions extends LayerOptions {
  /** Share of the old moving averages that each batch leaves; default 0.99. */
  momentum?: number;
  /** Default 0.001. */
  epsilon?: number;
  center?: boolean;
  scale?: boolean;
  betaInitializer?: InitializerId;
  gammaInitializer?: InitializerId;
  movingMeanInitializer?: InitializerId;
  movingVarianceInitializer?: InitializerId;
  betaRegularizer?: RegularizerId | null;
  gammaRegularizer?: RegularizerId | null;
}

type NativeBatchNorm = (...args: unknown[]) => [output: Tensor, mean: Tensor, inverseDeviation: Tensor];

const batchNorm = op<NativeBatchNorm>('aten::native_batch_norm', '');

/**
 * Normalises each channel (the last axis) by the batch in training, by moving averages otherwise and when it is not
 * trainable. Statistics are float32 in every policy; the moving variance is that of the batch without
 * Bessel's correction, as in Keras.
 */
export class BatchNormalization extends Layer {
  static override readonly stateNames = { movingMean: 'moving_mean', movingVariance: 'moving_variance' };

  gamma: nn.Parameter | null = null;
  beta: nn.Parameter | null = null;
  declare movingMean: Tensor;
  declare movingVariance: Tensor;
  readonly momentum: number;
  readonly epsilon: number;
  readonly #options: BatchNormalizationOptions;

  constructor(options: BatchNormalizationOptions = {}) {
    super(options, [
      'momentum',
      'epsilon',
      'center',
      'scale',
      'betaInitializer',
      'gammaInitializer',
      'movingMeanInitializer',
      'movingVarianceInitializer',
      'betaRegularizer',
      'gammaRegularizer',
    ]);
    this.momentum = options.momentum ?? 0.99;
    this.epsilon = options.epsilon ?? 0.001;
    this.#options = options;
  }

  protected override build(inputShape: Shape): void {
    const shape = [requireSize(this.name, inputShape, -1)];
    const { gammaInitializer = 'ones', betaInitializer = 'zeros', ...rest } = this.#options;
    const { movingMeanInitializer = 'zeros', movingVarianceInitializer = 'ones' } = rest;
    if (rest.scale ?? true) {
      this.gamma = this.addWeight(shape, {
        initializer: gammaInitializer,
        regularizer: rest.gammaRegularizer,
      });
    }
    if (rest.center ?? true) {
      this.beta = this.addWeight(shape, { initializer: betaInitializer, regularizer: rest.betaRegularizer });
    }
    this.addState('movingMean', shape, movingMeanInitializer);
    this.addState('movingVariance', shape, movingVarianceInitializer);
  }

  override computeOutputShape(inputShape: Shape): Shape {
    const channels = inputShape.at(-1) ?? null;
    if (this.built && channels !== null && channels !== this.movingMean.size(0)) {
      throw shapeMismatch(this.name, `${this.movingMean.size(0)} channels at the last axis`, inputShape);
    }
    return inputShape;
  }

  protected override compute(input: Tensor, { training }: Required<CallOptions>): Tensor {
    // Without both weights LibTorch would keep the statistics in the input's own precision.
    const mixed = this.gamma !== null && this.beta !== null;
    const first = channelsFirst(mixed ? input : input.float());
    const weights = [this.gamma?.float() ?? null, this.beta?.float() ?? null];
    if (!training || !this.trainable) {
      const averages = [this.movingMean.float(), this.movingVariance.float()];
      const [y] = batchNorm(first, ...weights, ...averages, false, 0, this.epsilon);
      return channelsLast(y).to(this.computeDtype);
    }
    const [y, mean, inverseDeviation] = batchNorm(first, ...weights, null, null, true, 0, this.epsilon);
    noGrad(() => this.follow(mean, inverseDeviation.square().reciprocal().sub(this.epsilon)));
    return channelsLast(y).to(this.computeDtype);
  }

  private follow(mean: Tensor, variance: Tensor): void {
    this.movingMean.mul_(this.momentum).add_(mean, { alpha: 1 - this.momentum });
    this.movingVariance.mul_(this.momentum).add_(variance.clampMin(0), { alpha: 1 - this.momentum });
  }
}
