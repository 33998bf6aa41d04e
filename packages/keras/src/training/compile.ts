import type { Tensor } from '@mezzo/torch';
import { checkOptions, KerasError } from '../errors.ts';
import type { Shape } from '../graph/shape.ts';
import type { AnyLayer } from '../layers/layer.ts';
import { asLoss, type Loss, type LossId } from '../losses/index.ts';
import { asMetric, checkMetric, Mean, type Metric, type MetricId } from '../metrics/index.ts';
import type { Model } from '../models/model.ts';
import { InTransaction } from '../optimizers/in-transaction.ts';
import { asOptimizer, LossScaleOptimizer, type Optimizer } from '../optimizers/index.ts';

export interface CompileOptions {
  /** Default 'rmsprop', as in Keras. */
  optimizer?: string | Optimizer;
  loss?: LossId | null;
  metrics?: readonly MetricId[];
  /** Wrap the optimizer in a LossScaleOptimizer when a layer computes in float16. Default true. */
  autoScaleLoss?: boolean;
}

/** What `compile` chose, and what is measured while training and evaluating. */
export class Compiled {
  readonly optimizer: Optimizer;
  readonly lossTracker = new Mean('loss');
  readonly #model: Model;
  readonly #loss: Loss | null;
  readonly #metricIds: readonly MetricId[];
  #metrics: readonly Metric[] | null = null;

  /** @throws KerasError UNKNOWN_ID for an id or an option that is not known */
  constructor(model: Model, options: CompileOptions) {
    checkOptions('compile', options, ['optimizer', 'loss', 'metrics', 'autoScaleLoss']);
    const optimizer = asOptimizer(options.optimizer ?? 'rmsprop');
    const scales = (options.autoScaleLoss ?? true) && computesInHalf(model as unknown as AnyLayer);
    this.optimizer =
      scales && !(optimizer instanceof LossScaleOptimizer) ? new LossScaleOptimizer(optimizer) : optimizer;
    this.#model = model;
    this.#loss = options.loss === undefined || options.loss === null ? null : asLoss(options.loss);
    this.#metricIds = options.metrics ?? [];
    for (const id of this.#metricIds) checkMetric(id);
  }

  /** Loss and metrics; what 'accuracy' means goes by these shapes, at the first call. */
  measures(yTrue: Shape, yPred: Shape): readonly [loss: Mean, ...metrics: Metric[]] {
    const { device } = this.#model;
    this.#metrics ??= this.#metricIds.map((id) => asMetric(id, yTrue, yPred).on(device));
    this.lossTracker.on(device);
    return [this.lossTracker, ...this.#metrics];
  }

  /** The loss of a batch, with the layers' penalties. @throws KerasError NOT_READY without a loss */
  lossOf(yTrue: Tensor | null, yPred: Tensor, weight: Tensor | null): Tensor {
    const penalties = this.#model.losses;
    const terms =
      this.#loss === null || yTrue === null
        ? penalties
        : [this.#loss.call(yTrue, yPred, weight), ...penalties];
    if (terms.length > 0) return terms.reduce((sum, term) => sum.add(term));
    throw new KerasError(
      'NOT_READY',
      `model '${this.#model.name}': there is no loss to compute`,
      this.#loss === null ? 'give compile a loss' : 'give fit the targets y',
    );
  }

  /** The optimizer for a transaction, over what is trainable now. @throws KerasError NOT_READY */
  inTransaction(): InTransaction {
    const variables = this.#model.trainableVariables;
    if (variables.length === 0) {
      throw new KerasError('NOT_READY', `model '${this.#model.name}': it has no variables to train`);
    }
    this.optimizer.build(variables);
    return new InTransaction(this.optimizer, variables);
  }

  get scaler() {
    return this.optimizer instanceof LossScaleOptimizer ? this.optimizer.scaler : undefined;
  }
}

/** Whether a layer, or one below it, computes in float16 while its variables are float32. */
const computesInHalf = (layer: AnyLayer): boolean =>
  [...layer.modules()].some(
    (module) =>
      'computeDtype' in module &&
      module.computeDtype === 'float16' &&
      'variableDtype' in module &&
      module.variableDtype === 'float32',
  );
