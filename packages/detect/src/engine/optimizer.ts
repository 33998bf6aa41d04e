import { nn, optim, type Tensor } from '@mezzo/torch';
import type { IterationPlan } from './schedule.ts';

export interface OptimizerOptions {
  name: 'SGD' | 'Adam' | 'AdamW';
  lr: number;
  momentum: number;
  /** Applied to weights only: not to biases, not to normalisation. */
  weightDecay: number;
  /** Let the optimizer leave a step out on the device, so that the host need not wait for a verdict. */
  fused?: boolean;
}

type DetectorOptimizer = optim.SGD | optim.Adam | optim.AdamW;

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

/** Splits a model's parameters as the YOLO recipes do: by name for biases, by layer for normalisation. */
export function parameterGroups(model: nn.Module): { weights: Tensor[]; norms: Tensor[]; biases: Tensor[] } {
  const groups = { weights: [] as Tensor[], norms: [] as Tensor[], biases: [] as Tensor[] };
  for (const module of model.modules()) {
    for (const [name, parameter] of Object.entries(module)) {
      if (!(parameter instanceof nn.Parameter)) continue;
      if (name.includes('bias')) groups.biases.push(parameter);
      else if (module instanceof nn.BatchNorm2d) groups.norms.push(parameter);
      else groups.weights.push(parameter);
    }
  }
  return groups;
}

export function buildOptimizer(model: nn.Module, options: OptimizerOptions): GroupedOptimizer {
  const { weights, norms, biases } = parameterGroups(model);
  const { name, lr, momentum, weightDecay, fused: onDevice = false } = options;
  const fused = onDevice ? true : null;
  const groups = [
    { params: weights, weightDecay },
    { params: norms, weightDecay: 0 },
    { params: biases, weightDecay: 0 },
  ];
  const optimizer =
    name === 'SGD'
      ? new optim.SGD(groups, { lr, momentum, nesterov: momentum > 0, fused })
      : new optim[name](groups, { lr, betas: [momentum, 0.999], fused });
  const [weightGroup, normGroup, biasGroup] = optimizer.paramGroups;
  return {
    optimizer,
    rates: () => optimizer.paramGroups.map((group) => group.lr),
    apply(plan) {
      weightGroup!.lr = plan.lrOther;
      normGroup!.lr = plan.lrOther;
      biasGroup!.lr = plan.lrBias;
      for (const group of optimizer.paramGroups) {
        if ('betas' in group && group.betas) group.betas = [plan.momentum, group.betas[1]];
        else if ('momentum' in group) group.momentum = plan.momentum;
      }
    },
    description: `${name}(lr=${lr}, momentum=${momentum}) with groups of ${weights.length} weights (decay ${weightDecay}), ${norms.length} norms, ${biases.length} biases`,
  };
}
