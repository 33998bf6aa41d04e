import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  BatchMemory,
  type FollowedRun,
  Islands,
  observersOf,
  type StepParts,
  TrainStep,
  WindowFollower,
} from '@mezzo/detect';
import { resolveSettings } from '@mezzo/detect/config';
import { uniformPlan } from '@mezzo/precision';
import {
  amp,
  autocast,
  full,
  keep,
  nn,
  noGrad,
  ops,
  scope,
  setNumThreads,
  setWarningHandler,
  type Tensor,
  zeros,
} from '@mezzo/torch';
import { mean, pairedRow, timePairs } from './pairs.ts';
import type { BenchRow } from './report.ts';
import { type StepMaterial, stepMaterial } from './step-harness.ts';
import type { Suite } from './suite.ts';

/** Pairs of steps a round: the default number of rounds makes more than 200. */
const PAIRS_A_ROUND = 30;
const WARM_UP = 3;

type Step = () => void;

/** A way to take training steps with a model of its own. */
type StepVariant = (material: StepMaterial, folder: string) => Step;

/** The ways that are compared: the same work, but for what their names say. */
const VARIANTS = {
  'plain loop': (material) => plainLoop(material, finishPlain),
  'plain loop with the culprit pass': (material) => plainLoop(material, finishWithCulprits),
  'transaction with culprits': ({ parts, images, rows }) => {
    const step = new TrainStep(parts);
    return () => step.run(() => images, rows);
  },
  'everything on': everythingOn,
} as const satisfies Record<string, StepVariant>;

type VariantName = keyof typeof VARIANTS;

const COMPARISONS: readonly (readonly [name: string, a: VariantName, b: VariantName])[] = [
  ['transaction and culprits / plain loop', 'transaction with culprits', 'plain loop'],
  ['culprit pass / plain unscale, in a step', 'plain loop with the culprit pass', 'plain loop'],
  ['everything on / plain loop', 'everything on', 'plain loop'],
];

/** What safe and self-explaining mixed precision costs: pairs of steps of YOLOv8n in bf16, its loss scaled. */
export const ampSuite: Suite = {
  name: 'amp',
  about: 'the cost of the transactional step and of the culprit pass, by pairs of steps with an upper bound',
  size: { imgsz: 320, batch: 8 },
  async run({ threads, rounds, imgsz, batch, note }) {
    setNumThreads(threads);
    // bf16 stands in for fp16, which this CPU may not compute natively: its scaler is meant.
    setWarningHandler(({ code, message }) => {
      if (code !== 'SCALER_NOT_NEEDED') note(message);
    });
    const pairs = rounds * PAIRS_A_ROUND;
    const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-bench-'));
    const prepared = (variant: VariantName): Step => {
      const rule = variant === 'everything on' ? 'computed' : 'torch';
      const material = stepMaterial({ amp: 'bf16', channelsLast: true, imgsz, batch, scaler: rule });
      const step = VARIANTS[variant](material, folder);
      for (let i = 0; i < WARM_UP; i++) step();
      return step;
    };
    const rows: BenchRow[] = [];
    try {
      for (const [name, a, b] of COMPARISONS) {
        note(`${name}: ${pairs} pairs`);
        const samples = timePairs(pairs, prepared(a), prepared(b));
        rows.push(pairedRow(name, { a, b }, samples));
        // What is done in one step of many does not show in a median.
        if (a === 'everything on') rows.push(pairedRow(`${name}, mean`, { a, b }, samples, mean));
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
    note('the passes alone');
    rows.push(passesAlone(pairs));
    return rows;
  },
};

/** The loop of PyTorch's documentation, with sums of losses and an average of the weights. */
function plainLoop({ parts, images, rows }: StepMaterial, finish: (parts: StepParts) => void): Step {
  const { model, loss, optimizer, scaler, ema, precision } = parts;
  const sums = keep(zeros([3]));
  return () =>
    scope(() => {
      const format = { dtype: precision.dtype, memory_format: 'channels_last' as const };
      const input = ops._to_copy(images, format).div_(255);
      const maps = autocast({ device: 'cpu', dtype: precision.dtype }, () => model.forward(input));
      const { total, items } = loss.forward(maps as Parameters<typeof loss.forward>[0], rows);
      scaler.scale(total).backward();
      noGrad(() => sums.add_(items));
      finish(parts);
      optimizer.optimizer.zeroGrad();
      ema.update();
    });
}

/** As a training with amp=auto and a recorder takes its steps: all that follows them, and nothing to find. */
function everythingOn({ parts, images, rows }: StepMaterial, folder: string): Step {
  const { model, ema, loss, device, precision } = parts;
  const step = new TrainStep(parts);
  const plan = uniformPlan(precision.dtype);
  const run: FollowedRun = {
    ...parts,
    step,
    settings: resolveSettings('train', { amp: 'auto', recorder: path.join(folder, 'recorder.json') }),
    saveDir: folder,
    islands: new Islands({ model, average: ema.model, loss, device, precision, plan, heals: true }),
  };
  const [count = 0, channels = 0, height = 0, width = 0] = images.shape;
  const memory = new BatchMemory(device).allocate(images.numel());
  noGrad(() => memory.images(count, channels, height, width).copy_(images));
  const batch: Parameters<WindowFollower['follow']>[0] = {
    index: 0,
    memory,
    shape: [count, height, width, channels],
    whole: count,
    input: { width, height },
    targets: rows,
    paths: [],
  };
  const at = { epoch: 0, steps: 0, skipped: 0 };
  const follower = new WindowFollower(run, at, observersOf(run), () => {});
  return () => follower.follow(batch, () => step.run(() => images, rows));
}

function finishPlain({ model, scaler, optimizer: { optimizer }, clip }: StepParts): void {
  scaler.unscale_(optimizer);
  nn.utils.clipGradNorm_(model.parameters(), clip);
  scaler.step(optimizer);
  scaler.update();
}

function finishWithCulprits({ model, scaler, optimizer: { optimizer }, clip }: StepParts): void {
  const grads = gradientsOf(model);
  const largest = zeros([grads.length], { dtype: 'int32' });
  noGrad(() => amp.unscaleMagnitudes_(grads, scaler.inverseScale('step'), largest));
  nn.utils.clipGradNorm_(model.parameters(), clip);
  const finite = amp.readMagnitudes(largest).every(Number.isFinite);
  if (finite) optimizer.step();
  scaler.settle(optimizer, full([], finite ? 0 : 1), !finite);
  scaler.update();
}

const gradientsOf = (model: StepParts['model']): Tensor[] =>
  model.parameters().flatMap(({ grad }) => (grad === null ? [] : [grad]));

/** The two kernels on tensors of the model's shapes, nothing else. */
function passesAlone(count: number): BenchRow {
  const { parts } = stepMaterial({ amp: 'bf16', channelsLast: true, imgsz: 32, batch: 1 });
  const grads = parts.model.parameters().map((parameter) => keep(parameter.detach().clone()));
  const [inverse, found] = [full([], 0.5), zeros([])];
  const largest = zeros([grads.length], { dtype: 'int32' });
  const plain = () => ops._amp_foreach_non_finite_check_and_unscale_(grads, found, inverse);
  const culprits = () => amp.unscaleMagnitudes_(grads, inverse, largest);
  for (let i = 0; i < WARM_UP; i++) for (const pass of [plain, culprits]) pass();
  const sides = { a: 'mezzo::unscale_ with magnitudes', b: "LibTorch's check and unscale" };
  // Halved again and again the numbers would become subnormal, which is slow.
  const fresh = (pass: Step) => () => {
    inverse.fill_(1 / (inverse.item() as number));
    pass();
  };
  return pairedRow('the passes alone', sides, timePairs(count, fresh(culprits), fresh(plain)));
}
