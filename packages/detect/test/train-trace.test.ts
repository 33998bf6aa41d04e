import assert from 'node:assert/strict';
import { test } from 'node:test';
import { autocast, nn, optim, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { ModelEma } from '../src/engine/ema.ts';
import { DetectionLoss } from '../src/loss/detection.ts';
import type { DetectionModel } from '../src/models/build.ts';
import { foregroundPerTarget } from './foreground.ts';
import { assertClose, type Checksum, formulaModel, inputTensor, readGolden, values } from './golden.ts';

interface Micro {
  box: number;
  cls: number;
  dfl: number;
  total: number;
  fg_per_image: number[];
}

interface Step {
  step: number;
  lr_weight: number;
  lr_bn: number;
  lr_bias: number;
  momentum: number;
  micro: Micro[];
  grad_norm_before_clip: number;
  model?: Record<string, Checksum>;
  ema?: Record<string, Checksum>;
  all_float_state?: Record<'model_sum' | 'model_l2' | 'ema_sum' | 'ema_l2', number>;
  num_batches_tracked?: number;
  ema_num_batches_tracked?: number;
}

interface Run {
  steps: Step[];
  groups: Record<'weight' | 'bn' | 'bias', { tensors: number; weight_decay: number }>;
}

interface Trace {
  nc: number;
  gain: number;
  imgsz: number;
  batch: number;
  loss_gains: { box: number; cls: number; dfl: number };
  clip_grad_norm: number;
  targets: number[][][];
  runs: Record<'fp32' | 'fp32_accumulate2' | 'bf16_autocast', Run>;
}

const PARTS = ['box', 'cls', 'dfl', 'total'] as const;

type Losses = Record<(typeof PARTS)[number], number>;

/** What a step gave: its losses, the foreground anchors of each image, and the gradient norm before clipping. */
interface Recorded {
  micro: (Losses & { foreground: number[] })[];
  norm: number;
}

const golden = readGolden<Trace>('train_trace.json');

setNumThreads(1);

for (const name of ['fp32', 'fp32_accumulate2'] as const) {
  test(`12 training steps: ${name}`, () => {
    const run = golden.runs[name];
    const recorded = train(run, { low: false, state: 1e-4 });
    run.steps.forEach(({ step, micro, grad_norm_before_clip }, i) => {
      const found = recorded[i]!;
      const loss = step === 1 ? 1e-5 : step <= 6 ? 1e-4 : 1e-3;
      const norm = step === 1 ? 1e-5 : step <= 6 ? 1e-3 : 3e-3;
      micro.forEach((expected, m) => {
        const losses = found.micro[m]!;
        for (const part of PARTS)
          assertClose(losses[part], expected[part], { rel: loss }, `step ${step} ${part}`);
        assert.deepEqual(losses.foreground, expected.fg_per_image, `step ${step} foreground`);
      });
      assertClose(found.norm, grad_norm_before_clip, { rel: norm }, `step ${step} norm`);
    });
  });
}

// The recorded run computes its loss in bf16 too; ours is an fp32 island, as precision in pixels demands. And bf16
// kernels round differently on every kind of CPU: on one with AMX the reference is up to 11 % from its own trace in a
// single loss. Either is enough for runs of so small a batch to part from the second step on, as the recorded fp32 run
// does from the recorded bf16 run (up to 8 % in a loss, 37 % in a norm). So the first step is compared by itself and
// the others in the mean.
test('12 training steps: bf16_autocast', () => {
  const run = golden.runs.bf16_autocast;
  const recorded = train(run, { low: true, state: 0.02 });
  const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
  for (const part of PARTS) {
    const found = recorded.map(({ micro }) => micro[0]![part]);
    const expected = run.steps.map(({ micro }) => micro[0]![part]);
    assertClose(found[0]!, expected[0]!, { rel: 0.05 }, `step 1 ${part}`);
    assertClose(mean(found), mean(expected), { rel: 0.05 }, `mean ${part}`);
  }
  const norms = run.steps.map((step) => step.grad_norm_before_clip);
  assertClose(recorded[0]!.norm, norms[0]!, { rel: 0.4 }, 'step 1 norm');
  assertClose(mean(recorded.map(({ norm }) => norm)), mean(norms), { rel: 0.4 }, 'mean norm');
});

/** Trains as the trace prescribes; the weights are compared on the way, to `state` in their l2 norms. */
function train(run: Run, { low, state }: { low: boolean; state: number }): Recorded[] {
  const model = formulaModel('yolov8n', golden).train();
  const ema = new ModelEma(model, model.clone());
  const optimizer = sgd(model, run);
  const loss = new DetectionLoss({ nc: golden.nc, strides: model.strides, gains: golden.loss_gains });
  let image = 0;
  const recorded = run.steps.map((step) =>
    scope((): Recorded => {
      const lrs = [step.lr_weight, step.lr_bn, step.lr_bias];
      optimizer.paramGroups.forEach((group, i) => {
        group.lr = lrs[i]!;
        group.momentum = step.momentum;
      });
      const micro = step.micro.map(() => microBatch(model, loss, ++image, low));
      const norm = nn.utils.clipGradNorm_(model.parameters(), golden.clip_grad_norm).item() as number;
      optimizer.step();
      optimizer.zeroGrad();
      ema.update();
      checkState(model, ema.model, step, state);
      return { micro, norm };
    }),
  );
  assert.equal(ema.updates, run.steps.length);
  return recorded;
}

/** The three groups in the order weight, bn, bias. */
function sgd(model: DetectionModel, { groups }: Run): optim.SGD {
  const parts: Record<keyof Run['groups'], Tensor[]> = { weight: [], bn: [], bias: [] };
  for (const [key, parameter] of model.namedParameters()) {
    const part = key.endsWith('.bias') ? 'bias' : key.includes('.bn.') ? 'bn' : 'weight';
    parts[part].push(parameter);
  }
  const inputs = (['weight', 'bn', 'bias'] as const).map((part) => {
    assert.equal(parts[part].length, groups[part].tensors, part);
    return { params: parts[part], weightDecay: groups[part].weight_decay };
  });
  return new optim.SGD(inputs, { lr: 0.01, momentum: 0.937, nesterov: true });
}

/** Forward, loss and backward of micro-batch `number`, counted from 1. */
function microBatch(
  model: DetectionModel,
  loss: DetectionLoss,
  number: number,
  low: boolean,
): Recorded['micro'][0] {
  const input = inputTensor(`trace/input/${number}`, [golden.batch, 3, golden.imgsz, golden.imgsz]);
  const rows = golden.targets[number - 1]!;
  const { total, items, assignment } = autocast({ device: 'cpu', dtype: 'bfloat16', enabled: low }, () =>
    loss.forward(model.maps(input), Float32Array.from(rows.flat())),
  );
  total.backward();
  const [box, cls, dfl] = Array.from(values(items)) as [number, number, number];
  const foreground = foregroundPerTarget(assignment, rows).map((counts) =>
    counts.reduce((sum, n) => sum + n, 0),
  );
  return { box, cls, dfl, total: total.item() as number, foreground };
}

function checkState(model: DetectionModel, average: DetectionModel, expected: Step, rel: number): void {
  if (expected.model === undefined || expected.ema === undefined) return;
  for (const [what, state, checksums] of [
    ['model', model.stateDict(), expected.model],
    ['ema', average.stateDict(), expected.ema],
  ] as const) {
    for (const [key, checksum] of Object.entries(checksums)) {
      assertClose(l2Norm(state[key]!), checksum.l2, { rel }, `step ${expected.step} ${what} ${key}`);
    }
    const all = Object.values(state).filter((tensor) => tensor.isFloatingPoint());
    const l2 = Math.hypot(...all.map(l2Norm));
    assertClose(
      l2,
      expected.all_float_state![`${what}_l2`],
      { rel },
      `step ${expected.step} ${what} whole state`,
    );
  }
  const batches = 'model.0.bn.num_batches_tracked';
  assert.equal(model.stateDict()[batches]!.item(), expected.num_batches_tracked);
  assert.equal(average.stateDict()[batches]!.item(), expected.ema_num_batches_tracked);
}

function l2Norm(of: Tensor): number {
  return of.double().norm().item() as number;
}
