import type { Tensor } from '../tensor/tensor.ts';
import * as F from './functional/index.ts';
import { Module } from './module.ts';

/** Losses as modules: the options are fixed at construction, `forward(input, target)` gives the loss. */
abstract class Loss extends Module {
  abstract override forward(input: Tensor, target: Tensor): Tensor;
}

/** @internal A loss that is its options. */
export abstract class LossOf<Options> extends Loss {
  readonly options: Readonly<Options>;

  constructor(options: Options = {} as Options) {
    super();
    this.options = options;
  }
}

export class MSELoss extends LossOf<F.ReductionOption> {
  override forward(input: Tensor, target: Tensor): Tensor {
    return F.mseLoss(input, target, this.options);
  }
}

export class L1Loss extends LossOf<F.ReductionOption> {
  override forward(input: Tensor, target: Tensor): Tensor {
    return F.l1Loss(input, target, this.options);
  }
}

export class SmoothL1Loss extends LossOf<F.ReductionOption & { beta?: number }> {
  override forward(input: Tensor, target: Tensor): Tensor {
    return F.smoothL1Loss(input, target, this.options);
  }
}

export class HuberLoss extends LossOf<F.ReductionOption & { delta?: number }> {
  override forward(input: Tensor, target: Tensor): Tensor {
    return F.huberLoss(input, target, this.options);
  }
}

type CrossEntropyOptions = F.ReductionOption & {
  weight?: Tensor;
  ignoreIndex?: number;
  labelSmoothing?: number;
};

/** Logits against class indices or probabilities. */
export class CrossEntropyLoss extends Loss {
  readonly options: F.ReductionOption & { ignoreIndex?: number; labelSmoothing?: number };
  declare weight: Tensor | null;

  constructor({ weight, ...options }: CrossEntropyOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer('weight', weight ?? null);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return F.crossEntropy(input, target, { ...this.options, weight: this.weight });
  }
}

/** Log-probabilities against class indices. */
export class NLLLoss extends Loss {
  readonly options: F.ReductionOption & { ignoreIndex?: number };
  declare weight: Tensor | null;

  constructor({ weight, ...options }: F.ClassLossOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer('weight', weight ?? null);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return F.nllLoss(input, target, { ...this.options, weight: this.weight });
  }
}

/** Probabilities against targets in [0, 1]. */
export class BCELoss extends Loss {
  readonly options: F.ReductionOption;
  declare weight: Tensor | null;

  constructor({ weight, ...options }: F.ReductionOption & { weight?: Tensor } = {}) {
    super();
    this.options = options;
    this.registerBuffer('weight', weight ?? null);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropy(input, target, { ...this.options, weight: this.weight });
  }
}

/** Logits against targets in [0, 1]; safe in low precision. */
export class BCEWithLogitsLoss extends Loss {
  static override readonly stateNames = { posWeight: 'pos_weight' };

  readonly options: F.ReductionOption;
  declare weight: Tensor | null;
  declare posWeight: Tensor | null;

  constructor({ weight, posWeight, ...options }: F.BCEWithLogitsOptions = {}) {
    super();
    this.options = options;
    this.registerBuffer('weight', weight ?? null);
    this.registerBuffer('posWeight', posWeight ?? null);
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    const { weight, posWeight } = this;
    return F.binaryCrossEntropyWithLogits(input, target, { ...this.options, weight, posWeight });
  }
}

/** Kullback-Leibler divergence of log-probabilities from probabilities. */
export class KLDivLoss extends LossOf<F.KLDivOptions> {
  override forward(input: Tensor, target: Tensor): Tensor {
    return F.klDiv(input, target, this.options);
  }
}

/** Connectionist temporal classification: log-probabilities [T, N, C] against class sequences. */
export class CTCLoss extends Module {
  readonly options: Readonly<F.CtcOptions>;

  constructor(options: F.CtcOptions = {}) {
    super();
    this.options = options;
  }

  override forward(
    logProbs: Tensor,
    targets: Tensor,
    inputLengths: Tensor | readonly number[],
    targetLengths: Tensor | readonly number[],
  ): Tensor {
    return F.ctcLoss(logProbs, targets, inputLengths, targetLengths, this.options);
  }
}
