import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/index.ts';
import { LossOf } from './loss.ts';
import { Module } from './module.ts';

/** A loss of three tensors that is its options. */
abstract class TripleLoss<Options> extends Module {
  readonly options: Readonly<Options>;

  constructor(options: Options = {} as Options) {
    super();
    this.options = options;
  }

  abstract override forward(a: Tensor, b: Tensor, c: Tensor): Tensor;
}

/** forward(a [N, D], b [N, D], target [N]), target 1 (alike) or -1. */
export class CosineEmbeddingLoss extends TripleLoss<F.MarginOptions> {
  override forward(a: Tensor, b: Tensor, target: Tensor): Tensor {
    return F.cosineEmbeddingLoss(a, b, target, this.options);
  }
}

/** forward(a, b, target), target 1 where a should rank higher, else -1. */
export class MarginRankingLoss extends TripleLoss<F.MarginOptions> {
  override forward(a: Tensor, b: Tensor, target: Tensor): Tensor {
    return F.marginRankingLoss(a, b, target, this.options);
  }
}

/** forward(anchor, positive, negative), all [N, D]. */
export class TripletMarginLoss extends TripleLoss<F.TripletOptions> {
  override forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    return F.tripletMarginLoss(anchor, positive, negative, this.options);
  }
}

/** `TripletMarginLoss` with a distance of one's own. */
export class TripletMarginWithDistanceLoss extends TripleLoss<F.TripletDistanceOptions> {
  override forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    return F.tripletMarginWithDistanceLoss(anchor, positive, negative, this.options);
  }
}

/** forward(mean, target, variance) */
export class GaussianNLLLoss extends TripleLoss<F.GaussianNLLOptions> {
  override forward(input: Tensor, target: Tensor, variance: Tensor): Tensor {
    return F.gaussianNllLoss(input, target, variance, this.options);
  }
}

/** Counts under Poisson distributions, given the logarithm of the rate. */
export class PoissonNLLLoss extends LossOf<F.PoissonNLLOptions> {
  override forward(input: Tensor, target: Tensor): Tensor {
    return F.poissonNllLoss(input, target, this.options);
  }
}

export class HingeEmbeddingLoss extends LossOf<F.MarginOptions> {
  override forward(input: Tensor, target: Tensor): Tensor {
    return F.hingeEmbeddingLoss(input, target, this.options);
  }
}

export class SoftMarginLoss extends LossOf<F.ReductionOption> {
  override forward(input: Tensor, target: Tensor): Tensor {
    return F.softMarginLoss(input, target, this.options);
  }
}

export class MultiLabelMarginLoss extends LossOf<F.ReductionOption> {
  override forward(input: Tensor, target: Tensor): Tensor {
    return F.multilabelMarginLoss(input, target, this.options);
  }
}

type Weighted<Options> = Omit<Options, 'weight'> & { weight?: Tensor };

export class MultiMarginLoss extends LossOf<Omit<F.MultiMarginOptions, 'weight'>> {
  declare weight: Tensor | null;

  constructor({ weight, ...options }: Weighted<F.MultiMarginOptions> = {}) {
    super(options);
    this.registerBuffer('weight', weight ?? null);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return F.multiMarginLoss(input, target, { ...this.options, weight: this.weight });
  }
}

export class MultiLabelSoftMarginLoss extends LossOf<F.ReductionOption> {
  declare weight: Tensor | null;

  constructor({ weight, ...options }: Weighted<F.ReductionOption> = {}) {
    super(options);
    this.registerBuffer('weight', weight ?? null);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return F.multilabelSoftMarginLoss(input, target, { ...this.options, weight: this.weight });
  }
}
