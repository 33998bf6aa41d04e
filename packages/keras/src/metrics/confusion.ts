import { linspace, noGrad, onesLike, scope, type Tensor } from '@mezzo/torch';
import { checkOptions } from '../errors.ts';
import { sameRank } from '../losses/rank.ts';
import { Metric, quotient } from './metric.ts';

export interface ThresholdOptions {
  /** A prediction above it counts as yes; default 0.5. */
  thresholds?: number;
  name?: string;
}

/** Weighted counts of predictions above each of some thresholds, by label. */
abstract class Confusion extends Metric {
  readonly #thresholds: (device: string) => Tensor;
  readonly #count: number;

  constructor(name: string, count: number, thresholds: (device: string) => Tensor) {
    super(name);
    this.#count = count;
    this.#thresholds = thresholds;
  }

  override updateState(yTrue: Tensor, yPred: Tensor, sampleWeight: Tensor | null = null): void {
    noGrad(() =>
      scope(() => {
        this.on(yPred.device);
        const [truth, prediction] = sameRank(yTrue.float(), yPred.float());
        const labels = truth.reshape(-1).bool().float();
        const weights =
          sampleWeight === null
            ? onesLike(labels)
            : spread(sampleWeight.float(), prediction.shape).reshape(-1);
        const above = prediction.reshape(1, -1).gt(this.#thresholds(yPred.device).unsqueeze(1)).float();
        const [yes, no] = [labels.mul(weights), weights.sub(labels.mul(weights))];
        this.truePositives.add_(above.mul(yes).sum(1));
        this.falsePositives.add_(above.mul(no).sum(1));
        this.positives.add_(yes.sum());
        this.negatives.add_(no.sum());
      }),
    );
  }

  protected get truePositives(): Tensor {
    return this.sum('true_positives', [this.#count]);
  }

  protected get falsePositives(): Tensor {
    return this.sum('false_positives', [this.#count]);
  }

  protected get positives(): Tensor {
    return this.sum('positives');
  }

  protected get negatives(): Tensor {
    return this.sum('negatives');
  }
}

/** A weight a sample for each of its elements. */
function spread(weights: Tensor, shape: readonly number[]): Tensor {
  let wide = weights;
  while (wide.ndim < shape.length) wide = wide.unsqueeze(-1);
  return wide.expand(shape);
}

abstract class AtThreshold extends Confusion {
  constructor(name: string, options: ThresholdOptions) {
    checkOptions(name, options, ['thresholds', 'name']);
    const { thresholds = 0.5 } = options;
    super(options.name ?? name, 1, (device) => linspace(thresholds, thresholds, 1, { device }));
  }
}

/** True positives among the predicted ones. */
export class Precision extends AtThreshold {
  constructor(options: ThresholdOptions = {}) {
    super('precision', options);
  }

  protected override compute(): Tensor {
    const { truePositives, falsePositives } = this;
    return quotient(truePositives, truePositives.add(falsePositives)).squeeze();
  }
}

/** True positives among all positives. */
export class Recall extends AtThreshold {
  constructor(options: ThresholdOptions = {}) {
    super('recall', options);
  }

  protected override compute(): Tensor {
    return quotient(this.truePositives, this.positives).squeeze();
  }
}

export interface AUCOptions {
  /** Default 200, evenly spaced from below 0 to above 1. */
  numThresholds?: number;
  name?: string;
}

/** Area under the ROC curve, by trapezoids between thresholds. */
export class AUC extends Confusion {
  constructor(options: AUCOptions = {}) {
    checkOptions('auc', options, ['numThresholds', 'name']);
    const { numThresholds: count = 200, name = 'auc' } = options;
    super(name, count, (device) => {
      const thresholds = linspace(0, 1, count, { device });
      thresholds.narrow(0, 0, 1).fill_(-1e-7);
      thresholds.narrow(0, count - 1, 1).fill_(1 + 1e-7);
      return thresholds;
    });
  }

  protected override compute(): Tensor {
    const x = quotient(this.falsePositives, this.negatives);
    const y = quotient(this.truePositives, this.positives);
    const last = x.size(0) - 1;
    const width = x.narrow(0, 0, last).sub(x.narrow(0, 1, last));
    return width
      .mul(y.narrow(0, 0, last).add(y.narrow(0, 1, last)))
      .sum()
      .mul(0.5);
  }
}
