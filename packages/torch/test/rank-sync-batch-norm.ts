import assert from 'node:assert/strict';
import {
  autocast,
  cat,
  type DType,
  distributed,
  type MemoryFormat,
  manualSeed,
  nn,
  noGrad,
  optim,
  randn,
  type Tensor,
} from '../src/index.ts';
import { type Program, runProgram } from './run-program.ts';

// The programs that sync-batch-norm.test.ts runs as ranks of a group.

const { getRank } = distributed;

type BatchNorm = nn.BatchNorm2d | nn.SyncBatchNorm;

/** Two convolutions with their norms, the first with SiLU as detectors have it. */
class Net extends nn.Module {
  readonly stem = new nn.Conv2d(3, 8, 3, { padding: 1, bias: false });
  readonly norm: BatchNorm = new nn.BatchNorm2d(8);
  readonly body = new nn.Sequential(
    new nn.Conv2d(8, 8, 3, { stride: 2, bias: false }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
  );
  readonly head = new nn.Linear(8, 4);

  override forward(x: Tensor): Tensor {
    return this.head.forward(this.body.forward(this.norm.forwardSilu(this.stem.forward(x))).mean([2, 3]));
  }
}

interface Case {
  shape: readonly number[];
  options?: nn.BatchNormLayerOptions;
  dtype?: DType;
  format?: MemoryFormat;
}

const CASES: Record<string, Case> = {
  'four dimensions': { shape: [4, 6, 5, 7] },
  'channels last': { shape: [4, 6, 5, 7], format: 'channels_last' },
  'two dimensions': { shape: [4, 3] },
  'without parameters': { shape: [4, 3, 6], options: { affine: false } },
  'without a shift': { shape: [4, 3, 6], options: { bias: false } },
  'without running statistics': { shape: [4, 3, 6], options: { trackRunningStats: false } },
  'cumulative mean': { shape: [4, 3, 2, 2, 2], options: { momentum: null } },
  float64: { shape: [4, 3, 6], dtype: 'float64' },
  bfloat16: { shape: [4, 6, 5, 7], dtype: 'bfloat16', format: 'channels_last' },
};

/** Largest difference relative to the largest number. */
function distance(actual: Tensor, expected: Tensor): number {
  const gap = Number(actual.double().sub(expected.double()).abs().max().item());
  return gap / (1e-30 + Number(expected.double().abs().max().item()));
}

/** SyncBatchNorm on this rank's samples against BatchNorm on those of both; rank 1 has three times as many. */
function compare({ shape: [batch, ...rest], options = {}, dtype = 'float32', format }: Case) {
  manualSeed(3);
  const parameters: DType = dtype === 'float64' ? dtype : 'float32';
  const laidOut = (t: Tensor) => (format ? t.contiguous({ memoryFormat: format }) : t);
  const sizes = [batch!, 3 * batch!];
  const inputs = sizes.map((size) =>
    laidOut(
      randn([size, ...rest])
        .mul(2)
        .add(3)
        .to(dtype),
    ),
  );
  // BatchNorm's own backward is exact for gradients in the input's layout only.
  const targets = sizes.map((size) => laidOut(randn([size, ...rest]).to(dtype)));
  const rank = getRank();
  const whole = new (
    [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d][Math.max(rest.length - 2, 0)] as typeof nn.BatchNorm2d
  )(rest[0]!, options).to(parameters);
  noGrad(() => whole.weight?.uniform_(0.5, 2));
  const sync = nn.SyncBatchNorm.convertSyncBatchnorm(whole) as nn.SyncBatchNorm;
  const copy = new nn.SyncBatchNorm(rest[0]!, options).to(parameters);
  copy.loadStateDict(sync.stateDict());
  const all = laidOut(cat(inputs)).detach().requiresGrad_();
  const own = inputs[rank]!.detach().requiresGrad_();
  const reference = whole.forward(all);
  const output = copy.forward(own);
  reference
    .mul(laidOut(cat(targets)))
    .sum()
    .backward();
  output.mul(targets[rank]!).sum().backward();
  const [from, size] = [rank === 0 ? 0 : sizes[0]!, sizes[rank]!];
  const gradients = [copy.weight, copy.bias].map((parameter) => {
    if (!parameter) return null;
    distributed.allReduce(parameter.grad!);
    return parameter.grad!;
  });
  const pairs: [string, Tensor | null | undefined, Tensor | null | undefined][] = [
    ['output', output, reference.narrow(0, from, size)],
    ['input', own.grad, all.grad!.narrow(0, from, size)],
    ['weight', gradients[0], whole.weight?.grad],
    ['bias', gradients[1], whole.bias?.grad],
    ['mean', copy.runningMean, whole.runningMean],
    ['variance', copy.runningVar, whole.runningVar],
    ['evaluation', copy.eval().forward(own), copy.runningMean && whole.eval().forward(own)],
  ];
  return Object.fromEntries(pairs.flatMap(([name, a, e]) => (a && e ? [[name, distance(a, e)]] : [])));
}

const programs: Record<string, Program> = {
  async layers() {
    await distributed.initProcessGroup({ timeout: 60_000 });
    const found = Object.fromEntries(Object.entries(CASES).map(([name, each]) => [name, compare(each)]));
    const output = new nn.SyncBatchNorm(2)
      .forward(randn([3, 2]).requiresGrad_())
      .square()
      .sum();
    assert.throws(() => output.backward({ createGraph: true }), {
      code: 'NOT_IMPLEMENTED',
      message: 'SyncBatchNorm has no second derivative: use BatchNorm, or no createGraph',
    });
    distributed.barrier();
    return found;
  },

  /** Ten steps of two ranks with eight samples each, and of one with the sixteen. */
  async training() {
    await distributed.initProcessGroup({ timeout: 60_000 });
    const train = (parallel: boolean, dtype: DType, synchronizes = parallel) => {
      manualSeed(0);
      const net = new Net();
      net.to({ memoryFormat: 'channels_last' });
      let model: nn.Module = net;
      if (parallel) {
        if (synchronizes) nn.SyncBatchNorm.convertSyncBatchnorm(net);
        model = new distributed.DistributedDataParallel(net);
      }
      const optimizer = new optim.SGD(net.parameters(), { lr: 0.1, momentum: 0.9, nesterov: true });
      const losses: number[] = [];
      for (let step = 0; step < 10; step++) {
        manualSeed(step + 1);
        const [x, y] = [randn([16, 3, 12, 12]).contiguous({ memoryFormat: 'channels_last' }), randn([16, 4])];
        const mine = (t: Tensor) => (parallel ? t.narrow(0, 8 * getRank(), 8) : t);
        optimizer.zeroGrad();
        const enabled = dtype !== 'float32';
        const output = autocast(
          { device: 'cpu', dtype: enabled ? dtype : 'bfloat16', enabled },
          () => model.forward(mine(x) as never) as Tensor,
        );
        const loss = new nn.MSELoss().forward(output.float(), mine(y));
        loss.backward();
        optimizer.step();
        const told = loss.detach().clone();
        if (parallel) distributed.allReduce(told, { op: 'avg' });
        losses.push(Number(told.item()));
      }
      return { losses, names: [...net.namedModules()].map(([, m]) => m.constructor.name), net };
    };
    const [one, two] = [train(false, 'float32'), train(true, 'float32')];
    const gapOf = ({ losses }: { losses: number[] }) =>
      Math.max(...losses.map((loss, i) => Math.abs(loss / one.losses[i]! - 1)));
    const low = [train(false, 'bfloat16'), train(true, 'bfloat16')].map(({ losses }) => losses.at(-1)!);
    const state = Object.entries(two.net.stateDict());
    const statistics = state
      .filter(([name]) => name.includes('running'))
      .map(([name, tensor]) => distance(tensor, one.net.stateDict()[name]!));
    distributed.barrier();
    return {
      gap: gapOf(two),
      apart: gapOf(train(true, 'float32', false)),
      low,
      names: two.names,
      statistics: Math.max(...statistics),
      text: String(two.net.norm),
    };
  },
};

await runProgram(programs);
