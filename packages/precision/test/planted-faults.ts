import {
  autocast,
  GradScaler,
  manualSeed,
  nn,
  noGrad,
  ones,
  optim,
  scope,
  type Tensor,
  zeros,
} from '@mezzo/torch';
import type { CureCode, FindingCode, ReplayRegion } from '../src/index.ts';

/** A cure as the source of a planted model would carry it. */
export interface Guard {
  /** Bound of the clamp at the faulty operation. */
  readonly clamp?: number;
  readonly eps?: number;
}

/** A model that fails in float16 on its batch, and what is to be found. */
export interface PlantedFault {
  readonly name: string;
  readonly model: (guard?: Guard) => nn.Module;
  /** The batch by name; `run` reads these tensors. */
  readonly inputs: () => Record<string, Tensor>;
  readonly loss: (model: nn.Module, inputs: Record<string, Tensor>) => Tensor;
  readonly scale: number;
  readonly learningRate?: number;
  readonly found: {
    readonly finding: FindingCode;
    readonly phase: 'forward' | 'backward';
    readonly layer: string;
    readonly op: string;
    readonly cure: CureCode;
  };
}

/** Forward and loss of a planted model's batch. */
export const batchOf =
  (fault: PlantedFault, model: nn.Module, inputs: Record<string, Tensor>) =>
  (region: ReplayRegion): Tensor =>
    autocast(region, () => fault.loss(model, inputs));

type Step = (x: Tensor) => Tensor;

/** A layer without parameters. */
class Formula extends nn.Layer {
  readonly formula: Step;

  constructor(formula: Step) {
    super();
    this.formula = formula;
  }

  override forward(x: Tensor): Tensor {
    return this.formula(x);
  }
}

/** A projection without bias whose weights are all 1, then the formula. */
class Planted extends nn.Layer {
  readonly stem = new nn.Linear(4, 4, { bias: false });
  readonly faulty: Formula;

  constructor(formula: Step) {
    super();
    this.faulty = new Formula(formula);
    noGrad(() => this.stem.weight.fill_(1));
  }

  override forward(x: Tensor): Tensor {
    return scope(() => this.faulty.forward(this.stem.forward(x)));
  }
}

/** Rows whose projections are all `value`. */
const rows = (value: number) => () => ({ x: ones([2, 4]).mul(value / 4) });
const meanOf = (model: nn.Module, { x }: Record<string, Tensor>) =>
  (model as nn.Layer).forward(x!).float().mul(1e-3).mean();

const clamped = (x: Tensor, min: number | undefined, max: number | undefined) =>
  min === undefined && max === undefined ? x : x.clamp(min ?? null, max ?? null);

class Attention extends nn.Layer {
  readonly query: nn.Linear;
  readonly key: nn.Linear;
  readonly value: nn.Linear;
  readonly scores: Scores;

  constructor() {
    super();
    this.query = new nn.Linear(16, 64);
    this.key = new nn.Linear(16, 64);
    this.value = new nn.Linear(16, 64);
    this.scores = new Scores();
    noGrad(() => this.key.weight.copy_(this.query.weight));
  }

  override forward(x: Tensor): Tensor {
    return scope(() =>
      this.scores.forward(this.query.forward(x), this.key.forward(x)).matmul(this.value.forward(x)),
    );
  }
}

/** Attention weights without the division by √d before the product. */
class Scores extends nn.Module {
  override forward(query: Tensor, key: Tensor): Tensor {
    return scope(() => query.matmul(key.transpose(-2, -1)).softmax(-1));
  }
}

class Perceptron extends nn.Layer {
  readonly first = new nn.Linear(8, 32);
  readonly second = new nn.Linear(32, 32);
  readonly third = new nn.Linear(32, 1);

  override forward(x: Tensor): Tensor {
    return scope(() => this.third.forward(this.second.forward(this.first.forward(x).relu()).relu()));
  }
}

class ConvNorm extends nn.Layer {
  readonly conv = new nn.Conv2d(3, 4, 3, { padding: 1, bias: false });
  readonly norm: nn.BatchNorm2d;

  constructor(eps: number) {
    super();
    this.norm = new nn.BatchNorm2d(4, { eps });
  }

  override forward(x: Tensor): Tensor {
    return scope(() => this.norm.forward(this.conv.forward(x)));
  }
}

function perceptronBatch() {
  return scope(() => {
    const x = seeded(3, () => zeros([16, 8]).normal_());
    return { x, y: x.sum(1, true).sin() };
  });
}

function seeded<T>(seed: number, make: () => T): T {
  manualSeed(seed);
  return make();
}

const squaredError = (model: nn.Module, { x, y }: Record<string, Tensor>) =>
  (model as nn.Layer).forward(x!).float().sub(y!).square().mean();

/** Trains the perceptron in float16 until a step fails or `steps` are done; returns the losses. */
export function trainPerceptron(model: nn.Module, learningRate: number, steps: number): number[] {
  const inputs = perceptronBatch();
  const optimizer = new optim.SGD(model.parameters(), { lr: learningRate });
  const scaler = new GradScaler({ device: 'cpu', initScale: 128 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = scope(() => {
      optimizer.zeroGrad();
      const region = { device: 'cpu', dtype: 'float16', enabled: true } as const;
      const value = autocast(region, () => squaredError(model, inputs));
      scaler.scale(value).backward();
      scaler.step(optimizer);
      scaler.update();
      return Number(value.item());
    });
    losses.push(loss);
    if (!Number.isFinite(loss)) break;
  }
  model.zeroGrad();
  return losses;
}

const HUGE_RATE = 20;

export const freshPerceptron = (): nn.Module => seeded(1, () => new Perceptron());

export const PLANTED_FAULTS: readonly PlantedFault[] = [
  {
    name: 'exp',
    model: ({ clamp } = {}) => new Planted((x) => clamped(x, undefined, clamp).exp()),
    inputs: rows(12),
    loss: meanOf,
    scale: 128,
    found: { finding: 'beyond-range', phase: 'forward', layer: 'faulty', op: 'aten::exp', cure: 'fp32-op' },
  },
  {
    name: 'sqrt at 0',
    model: ({ clamp } = {}) =>
      new Planted((x) =>
        clamped(
          x
            .sub(x.flip([0]))
            .square()
            .sum(-1),
          clamp,
          undefined,
        ).sqrt(),
      ),
    inputs: rows(4),
    loss: meanOf,
    scale: 128,
    found: {
      finding: 'undefined-value',
      phase: 'backward',
      layer: 'faulty',
      op: 'aten::sqrt',
      cure: 'clamp',
    },
  },
  {
    name: 'box area',
    // 300 x 300 pixels.
    model: () => new Planted((box) => box.select(-1, 2).mul(box.select(-1, 3))),
    inputs: rows(300),
    loss: meanOf,
    scale: 128,
    found: { finding: 'beyond-range', phase: 'forward', layer: 'faulty', op: 'aten::mul', cure: 'fp32-op' },
  },
  {
    name: 'log 0',
    // sigmoid(-20) = 2e-9 is 0 in float16.
    model: ({ clamp } = {}) => new Planted((x) => clamped(x.sigmoid(), clamp, undefined).log()),
    inputs: rows(-20),
    loss: meanOf,
    scale: 128,
    found: { finding: 'beyond-range', phase: 'forward', layer: 'faulty', op: 'aten::log', cure: 'clamp' },
  },
  {
    name: 'eps 1e-9',
    model: ({ clamp } = {}) =>
      new Planted((x) => {
        const y = x.relu();
        return y.div(clamped(y.amax(-1, true).add(1e-9), clamp, undefined));
      }),
    inputs: rows(-1),
    loss: meanOf,
    scale: 128,
    found: { finding: 'beyond-range', phase: 'forward', layer: 'faulty', op: 'aten::div', cure: 'clamp' },
  },
  {
    name: 'attention logits',
    model: () => seeded(1, () => new Attention()),
    inputs: () => ({ x: seeded(2, () => zeros([2, 5, 16]).normal_().mul_(100)) }),
    loss: meanOf,
    scale: 128,
    found: {
      finding: 'beyond-range',
      phase: 'forward',
      layer: 'scores',
      op: 'aten::matmul',
      cure: 'fp32-op',
    },
  },
  {
    name: 'a NaN pixel',
    model: () => seeded(1, () => new ConvNorm(1e-5)),
    inputs: () => ({ images: seeded(2, () => zeros([2, 3, 8, 8]).uniform_().put([1, 2, 3, 5], Number.NaN)) }),
    loss: (model, { images }) => (model as nn.Layer).forward(images!).float().square().mean(),
    scale: 128,
    found: {
      finding: 'input-not-finite',
      phase: 'forward',
      layer: 'conv',
      op: 'aten::conv2d',
      cure: 'fix-data',
    },
  },
  {
    name: 'a weight above 65504',
    model: () => {
      const model = freshPerceptron();
      noGrad(() => (model as Perceptron).second.weight.put([4, 7], 70_000));
      return model;
    },
    inputs: () => ({ x: ones([2, 8]).mul(1e-2) }),
    loss: meanOf,
    scale: 1,
    found: {
      finding: 'weight-beyond-range',
      phase: 'forward',
      layer: 'second',
      op: 'aten::linear',
      cure: 'fp32-op',
    },
  },
  {
    name: 'a huge learning rate',
    model: () => {
      const model = freshPerceptron();
      trainPerceptron(model, HUGE_RATE, 50);
      return model;
    },
    inputs: perceptronBatch,
    loss: squaredError,
    scale: 1,
    learningRate: HUGE_RATE,
    found: {
      finding: 'weights-diverged',
      phase: 'forward',
      layer: 'second',
      op: 'aten::linear',
      cure: 'lower-learning-rate',
    },
  },
  {
    name: 'zero-variance BatchNorm',
    model: ({ eps = 1e-12 } = {}) => seeded(1, () => new ConvNorm(eps)),
    // Constant pictures: every channel of the convolution's inside is constant as well.
    inputs: () => ({ images: zeros([2, 3, 8, 8]), wanted: seeded(4, () => zeros([2, 4, 8, 8]).uniform_()) }),
    loss: (model, { images, wanted }) =>
      (model as nn.Layer).forward(images!).float().sub(wanted!).square().sum(),
    scale: 128,
    found: { finding: 'beyond-range', phase: 'backward', layer: 'norm', op: 'aten::batch_norm', cure: 'eps' },
  },
];
