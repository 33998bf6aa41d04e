/** A small network with all that a window may change: BatchNorm, average, schedule, sums. */
import {
  keep,
  manualSeed,
  nn,
  noGrad,
  op,
  optim,
  randn,
  scope,
  type Tensor,
  TrainingStep,
  type TrainingStepOptions,
  type WindowResult,
  zeros,
} from '../src/index.ts';

export class Net extends nn.Module {
  conv = new nn.Conv2d(2, 4, 3, { padding: 1 });
  bn = new nn.BatchNorm2d(4);
  head = new nn.Linear(4, 3);
  /** Multiplies the features; not a parameter, so a test can break a forward pass with it. */
  gain = 1;

  override forward(x: Tensor): Tensor {
    const features = this.bn.forward(this.conv.forward(x)).mul(this.gain).relu();
    return this.head.forward(features.mean([2, 3]));
  }
}

class Average {
  updates = 0;
  readonly weights: Tensor[];
  private readonly model: nn.Module;

  constructor(model: nn.Module) {
    this.model = model;
    this.weights = this.sources().map((tensor) => keep(tensor.clone().detach()));
  }

  update(): void {
    this.updates += 1;
    noGrad(() =>
      scope(() => {
        this.sources().forEach((tensor, i) => {
          this.weights[i]!.lerp_(tensor, 1 / (1 + this.updates));
        });
      }),
    );
  }

  private sources(): Tensor[] {
    return Object.values(this.model.stateDict()).filter((tensor) => tensor.isFloatingPoint());
  }
}

export type MakeOptimizer = (params: Tensor[]) => optim.Optimizer;

export const OPTIMIZERS: Record<string, MakeOptimizer> = {
  'SGD without momentum': (params) => new optim.SGD(params, { lr: 0.1, fused: true }),
  'SGD with momentum': (params) =>
    new optim.SGD(params, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01, fused: true }),
  Adam: (params) => new optim.Adam(params, { lr: 0.01, fused: true }),
  'AdamW, amsgrad': (params) => new optim.AdamW(params, { lr: 0.01, amsgrad: true, fused: true }),
};

export function rig(make: MakeOptimizer, options: Partial<TrainingStepOptions> = {}) {
  manualSeed(7);
  const model = new Net();
  const optimizer = make(model.parameters());
  const ema = new Average(model);
  const scheduler = new optim.lrScheduler.ExponentialLR(optimizer, 0.9);
  const sum = keep(zeros([2]));
  const step = new TrainingStep({
    model,
    optimizers: optimizer,
    ema,
    schedulers: [scheduler],
    state: [sum],
    ...options,
  });
  const windows: WindowResult[] = [];
  step.onWindow((window) => {
    windows.push(window);
  });
  const batch = (seed: number, closes?: boolean) =>
    step.run(
      () => {
        manualSeed(seed);
        const loss = model
          .forward(randn([2, 2, 5, 5]))
          .square()
          .mean();
        noGrad(() => sum.add_(loss.detach()));
        return loss;
      },
      closes === undefined ? {} : { closes },
    );
  /** Every bit that a rolled back window must leave alone. */
  const bits = () => ({
    model: Object.fromEntries(Object.entries(model.stateDict()).map(([name, t]) => [name, bytes(t)])),
    ema: [ema.updates, ...ema.weights.map(bytes)],
    optimizer: model
      .parameters()
      .map((param) =>
        Object.entries(optimizer.state.get(param) ?? {}).map(([name, t]) => [name, bytes(t as Tensor)]),
      ),
    schedule: [scheduler.lastEpoch, optimizer.paramGroups[0]!.lr],
    sum: bytes(sum),
    gradients: model.parameters().filter(({ grad }) => grad !== null).length,
  });
  return { model, optimizer, ema, scheduler, sum, step, windows, batch, bits };
}

export const bytes = (t: Tensor) =>
  Buffer.from(
    new Uint8Array(
      op('aten::view', 'dtype')(t.detach().contiguous().reshape([-1]), 'uint8').toTypedArray() as Uint8Array,
    ),
  ).toString('hex');

export const sgd = OPTIMIZERS['SGD with momentum']!;
