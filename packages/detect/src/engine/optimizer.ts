import { nn, optim, type Tensor } from '@mezzo/torch';
import type { IterationPlan, OptimizerName } from './schedule.ts';

export interface OptimizerOptions {
  name: OptimizerName;
  lr: number;
  momentum: number;
  /** Applied to weights only: not to biases, not to normalisation. */
  weightDecay: number;
  /** Let the optimizer leave a step out on the device, so that the host need not wait for a verdict. */
  fused?: boolean;
}

type DetectorOptimizer = ReturnType<(typeof MAKERS)[OptimizerName]>;

/** An optimizer with three groups: decayed weights, normalisation weights, biases. */
export interface GroupedOptimizer {
  readonly optimizer: DetectorOptimizer;
  /** Learning rate of each group, in that order. */
  rates(): number[];
  /** Sets rates and momentum of an iteration. */
  apply(plan: IterationPlan): void;
  /** In words: `AdamW(lr=0.001429, momentum=0.9)`. */
  readonly description: string;
}

const NORMS = [nn.BatchNorm2d, nn.SyncBatchNorm];

/** Splits a model's parameters as the YOLO recipes do: by name for biases, by layer for normalisation. */
export function parameterGroups(model: nn.Module): { weights: Tensor[]; norms: Tensor[]; biases: Tensor[] } {
  const groups = { weights: [] as Tensor[], norms: [] as Tensor[], biases: [] as Tensor[] };
  for (const module of model.modules()) {
    for (const [name, parameter] of Object.entries(module)) {
      if (!(parameter instanceof nn.Parameter)) continue;
      if (name.includes('bias')) groups.biases.push(parameter);
      else if (NORMS.some((norm) => module instanceof norm)) groups.norms.push(parameter);
      else groups.weights.push(parameter);
    }
  }
  return groups;
}

interface Making {
  lr: number;
  momentum: number;
  fused: true | null;
}
type Groups = { params: Tensor[]; weightDecay: number }[];

const betasOf = ({ lr, momentum }: Making) => ({ lr, betas: [momentum, 0.999] as [number, number] });

/** The optimizers of the recipes: `momentum` is beta1 where there are betas. */
const MAKERS = {
  SGD: (groups: Groups, { lr, momentum, fused }: Making) =>
    new optim.SGD(groups, { lr, momentum, nesterov: momentum > 0, fused }),
  Adam: (groups: Groups, making: Making) =>
    new optim.Adam(groups, { ...betasOf(making), fused: making.fused }),
  AdamW: (groups: Groups, making: Making) =>
    new optim.AdamW(groups, { ...betasOf(making), fused: making.fused }),
  Adamax: (groups: Groups, making: Making) => new optim.Adamax(groups, betasOf(making)),
  NAdam: (groups: Groups, making: Making) => new optim.NAdam(groups, betasOf(making)),
  RAdam: (groups: Groups, making: Making) => new optim.RAdam(groups, betasOf(making)),
  RMSProp: (groups: Groups, { lr, momentum }: Making) => new optim.RMSprop(groups, { lr, momentum }),
} as const satisfies Record<OptimizerName, unknown>;

export function buildOptimizer(model: nn.Module, options: OptimizerOptions): GroupedOptimizer {
  const { weights, norms, biases } = parameterGroups(model);
  const { name, lr, momentum, weightDecay, fused: onDevice = false } = options;
  const groups = [
    { params: weights, weightDecay },
    { params: norms, weightDecay: 0 },
    { params: biases, weightDecay: 0 },
  ];
  const optimizer: DetectorOptimizer = MAKERS[name](groups, { lr, momentum, fused: onDevice ? true : null });
  const [weightGroup, normGroup, biasGroup] = optimizer.paramGroups;
  return {
    optimizer,
    rates: () => optimizer.paramGroups.map((group) => group.lr),
    apply(plan) {
      weightGroup!.lr = plan.lrOther;
      normGroup!.lr = plan.lrOther;
      biasGroup!.lr = plan.lrBias;
      for (const group of optimizer.paramGroups) {
        // As in the reference, beta1 is no momentum that warms up.
        if ('momentum' in group) group.momentum = plan.momentum;
      }
    },
    description: `${name}(lr=${lr}, momentum=${momentum}) with groups of ${weights.length} weights (decay ${weightDecay}), ${norms.length} norms, ${biases.length} biases`,
  };
}
