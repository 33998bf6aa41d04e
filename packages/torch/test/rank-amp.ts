import { createHash } from 'node:crypto';
import {
  amp,
  autocast,
  type DType,
  distributed,
  GradScaler,
  type GradScalerOptions,
  manualSeed,
  noGrad,
  optim,
  randn,
  type StepResult,
  scope,
  type Tensor,
  TrainingStep,
  type TrainingStepOptions,
  tensor,
} from '../src/index.ts';
import { type Program, runProgram } from './run-program.ts';
import { bytes, Net } from './training-step-rig.ts';

// The programs that distributed-amp.test.ts runs as ranks of a group.

const { getRank } = distributed;
const sha = (parts: readonly string[]) =>
  createHash('sha256').update(parts.join()).digest('hex').slice(0, 16);

/** Where a gradient breaks: on one rank, in one parameter, in some windows. */
interface Fault {
  rank: number;
  name: string;
  at: readonly number[];
  /** What the gradient is multiplied by. */
  factor?: number;
}

interface RigOptions {
  dtype?: DType;
  scaler?: GradScalerOptions;
  step?: Partial<TrainingStepOptions>;
  parallel?: distributed.DistributedDataParallelOptions;
  faults?: readonly Fault[];
}

/** One network on all ranks, each with batches of its own, in a transaction. */
function rig({
  dtype = 'float16',
  scaler: scale,
  step: options = {},
  parallel = {},
  faults = [],
}: RigOptions) {
  manualSeed(getRank());
  const net = new Net();
  const model = new distributed.DistributedDataParallel(net, parallel);
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.05, momentum: 0.9, fused: true });
  const scaler = new GradScaler({ device: 'cpu', enabled: dtype === 'float16', ...scale });
  const step = new TrainingStep({ model, optimizers: optimizer, scaler, ...options });
  let batches = 0;
  for (const [name, parameter] of net.namedParameters()) {
    parameter.registerHook((gradient) => {
      const fault = faults.find(
        (each) => each.rank === getRank() && each.name === name && each.at.includes(batches),
      );
      return fault ? gradient.mul(fault.factor ?? Number.POSITIVE_INFINITY) : gradient;
    });
  }
  const loss = (factor: number) =>
    autocast({ device: 'cpu', dtype }, () =>
      model
        .forward(randn([4, 2, 6, 6]).mul(factor))
        .float()
        .square()
        .mean(),
    );
  const batch = ({ factor = 1, synchronizes = true } = {}): StepResult => {
    batches += 1;
    return step.run(() => {
      manualSeed(1000 * getRank() + batches);
      return synchronizes ? loss(factor) : model.noSync(() => loss(factor));
    });
  };
  /** What ranks have in common: weights, the optimizer's state, the scale. Buffers follow at the next forward. */
  const bits = () => ({
    weights: sha(net.parameters().map(bytes)),
    momentum: sha(
      net.parameters().map((p) => bytes((optimizer.state.get(p)?.momentumBuffer ?? p) as Tensor)),
    ),
    scaler: scaler.stateDict(),
  });
  const buffers = () => sha([...net.buffers()].map(bytes));
  return { net, model, optimizer, scaler, step, batch, bits, buffers };
}

async function begin(): Promise<void> {
  await distributed.initProcessGroup({ timeout: 60_000 });
}

/** Ends when all are done: a rank that ends earlier takes its connections along. */
function end<T>(result: T): T {
  distributed.barrier();
  distributed.destroyProcessGroup();
  return result;
}

const brief = ({ applied, culprits, culpritsByRank, scale }: StepResult) => ({
  applied,
  culprits,
  culpritsByRank,
  scale,
});

const manySteps =
  (options: RigOptions): Program =>
  async () => {
    await begin();
    const faults = [
      { rank: 1, name: 'head.weight', at: [3, 50] },
      { rank: 1, name: 'conv.bias', at: [3] },
      { rank: 0, name: 'bn.weight', at: [51] },
    ];
    const { batch, bits, buffers, model } = rig({ ...options, faults });
    const skipped: unknown[] = [];
    for (let i = 1; i <= 100; i++) {
      const { applied, culprits, culpritsByRank } = batch();
      if (!applied) skipped.push({ at: i, culprits, culpritsByRank });
    }
    model.eval();
    noGrad(() => scope(() => model.forward(randn([1, 2, 6, 6]))));
    return end({ skipped, bits: bits(), buffers: buffers() });
  };

const programs: Record<string, Program> = {
  hundredInFloat16: manySteps({ scaler: { growthInterval: 10 } }),
  hundredInBfloat16: manySteps({ dtype: 'bfloat16' }),
  hundredCompressed: manySteps({ scaler: { growthInterval: 10 }, parallel: { compression: 'float16' } }),

  /** What a window leaves alone, in each way of deciding. */
  async rollback() {
    await begin();
    const found: unknown[] = [];
    for (const deferred of [false, true]) {
      const faults = [{ rank: 1, name: 'head.bias', at: [3] }];
      const { step, batch, bits, buffers, net } = rig({ step: { deferred }, faults });
      const told: unknown[] = [];
      step.onWindow(({ window, applied, culpritsByRank }) => {
        told.push({ window, applied, culpritsByRank });
      });
      batch();
      batch();
      step.flush();
      const before = { ...bits(), scaler: null, buffers: buffers() };
      batch();
      step.flush();
      const after = { ...bits(), scaler: null, buffers: buffers() };
      const running = net.bn.numBatchesTracked?.item();
      batch();
      step.flush();
      found.push({ told, same: JSON.stringify(before) === JSON.stringify(after), running, bits: bits() });
    }
    return end({ found });
  },

  /** Statistics that one rank's forward breaks, and a loss. */
  async brokenForward() {
    await begin();
    const { batch, bits, net } = rig({ dtype: 'bfloat16' });
    const found: unknown[] = [brief(batch())];
    found.push(brief(batch({ factor: getRank() === 1 ? Number.NaN : 1 })));
    net.gain = getRank() === 0 ? Number.POSITIVE_INFINITY : 1;
    const { applied, culpritsByRank } = batch();
    net.gain = 1;
    found.push({ applied, ranks: culpritsByRank.map(({ rank }) => rank) });
    found.push(brief(batch()));
    return end({ found, weights: bits().weights });
  },

  /** Gradients that float32 holds and float16 does not. */
  async tooLargeForTheWire() {
    await begin();
    const faults = [{ rank: 1, name: 'head.weight', at: [2], factor: 1e9 }];
    const found: unknown[] = [];
    for (const compression of ['float16', 'bfloat16'] as const) {
      const { batch, model } = rig({ dtype: 'float32', parallel: { compression }, faults });
      batch();
      const { applied, culpritsByRank } = batch();
      found.push({ applied, culpritsByRank });
      model.dispose();
    }
    return end({ found });
  },

  async accumulated() {
    await begin();
    const faults = [{ rank: 0, name: 'conv.weight', at: [3] }];
    const { batch, bits } = rig({ step: { accumulate: 2 }, faults });
    const found: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      batch({ synchronizes: false });
      found.push(brief(batch()));
    }
    return end({ found, bits: bits() });
  },

  async computed() {
    await begin();
    // It looks back on one window: the maximum is the latest.
    const rule = {
      ...amp.TORCH_RULE,
      name: 'computed',
      kind: 'computed' as const,
      init: 1024,
      growthInterval: 1,
    };
    const { net, batch, scaler } = rig({ dtype: 'float32', scaler: { rule, enabled: true } });
    // The larger gradients, and a source that only this rank has.
    const [factor, sources] = getRank() === 1 ? [8, [3]] : [1, []];
    const brought: number[] = [];
    for (const [, parameter] of net.namedParameters()) {
      parameter.registerHook((gradient) => {
        brought.push(Number(gradient.abs().max().item()) / 1024);
        return gradient;
      });
    }
    batch({ factor });
    const measured = (scaler.stateDict() as amp.GradScalerState).state!.largest;
    scaler.attach({ collect: () => sources[0] ?? null });
    batch({ factor });
    const scales = [scaler.getScale()];
    scaler.calibrate(getRank() === 0 ? 0.5 : 0.25);
    scales.push(scaler.getScale());
    return end({ own: Math.max(...brought.slice(0, 6)), measured, scales });
  },

  async otherScales() {
    await begin();
    const { batch } = rig({ scaler: { initScale: getRank() === 0 ? 1024 : 2048 } });
    batch();
    return {};
  },

  async atFloor() {
    await begin();
    const rule = { ...amp.TORCH_RULE, name: 'floored', init: 1, floor: 1, raiseAtFloor: true };
    const { batch } = rig({ scaler: { rule }, faults: [{ rank: 1, name: 'head.weight', at: [1] }] });
    batch();
    return {};
  },

  /** GradScaler alone, over gradients that nobody averages. */
  async scalerAlone() {
    await begin();
    const found: unknown[] = [];
    for (const fused of [false, true]) {
      const scaler = new GradScaler({ device: 'cpu', processGroup: (await distributed.newGroup())! });
      const weight = tensor([1, 2], { requiresGrad: true });
      const optimizer = new optim.SGD([weight], { lr: 0.1, fused });
      for (let i = 0; i < 3; i++) {
        scope(() => {
          optimizer.zeroGrad();
          const factor = i === 1 && getRank() === 1 ? Number.POSITIVE_INFINITY : 1;
          scaler.scale(weight.mul(factor).sum()).backward();
          scaler.step(optimizer);
          scaler.update();
        });
        found.push([Array.from(weight.toTypedArray() as Float32Array), scaler.getScale()]);
      }
    }
    return end({ found });
  },
};

await runProgram(programs);
