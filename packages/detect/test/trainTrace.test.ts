import assert from 'node:assert/strict';
import { test } from 'node:test';
import { autocast, nn, optim, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { ModelEma } from '../src/engine/ema.ts';
import { DetectionLoss } from '../src/loss/detection.ts';
import type { DetectionModel } from '../src/models/build.ts';
import { foregroundPerTarget } from './foreground.ts';
import {
  assertClose,
  type Checksum,
  checksumOf,
  formulaModel,
  inputTensor,
  readGolden,
  values,
} from './golden.ts';

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

/** Relative distances allowed; `null` leaves a value to chance (low precision may choose other anchors). */
interface Allowed {
  loss: (step: number) => number;
  norm: (step: number) => number;
  state: number;
  exactForeground: boolean;
}

const FP32: Allowed = {
  loss: (step) => (step === 1 ? 1e-5 : step <= 6 ? 1e-4 : 1e-3),
  norm: (step) => (step === 1 ? 1e-5 : step <= 6 ? 1e-3 : 3e-3),
  state: 1e-4,
  exactForeground: true,
};
const BF16: Allowed = { loss: () => 0.05, norm: () => 0.4, state: 0.02, exactForeground: false };

const golden = readGolden<Trace>('train_trace.json');
const runs: [name: keyof Trace['runs'], allowed: Allowed][] = [
  ['fp32', FP32],
  ['fp32_accumulate2', FP32],
  ['bf16_autocast', BF16],
];

setNumThreads(1);

for (const [name, allowed] of runs) {
  test(`12 training steps: ${name}`, () => {
    const run = golden.runs[name];
    const model = formulaModel('yolov8n', golden).train();
    const ema = new ModelEma(model, model.clone());
    const optimizer = sgd(model, run);
    const loss = new DetectionLoss({ nc: golden.nc, strides: model.strides, gains: golden.loss_gains });
    let micro = 0;
    for (const step of run.steps) {
      scope(() => {
        const lrs = [step.lr_weight, step.lr_bn, step.lr_bias];
        optimizer.paramGroups.forEach((group, i) => {
          group.lr = lrs[i]!;
          group.momentum = step.momentum;
        });
        for (const expected of step.micro) {
          micro += 1;
          checkMicro(model, loss, micro, expected, {
            step: step.step,
            allowed,
            low: name === 'bf16_autocast',
          });
        }
        const norm = nn.utils.clipGradNorm_(model.parameters(), golden.clip_grad_norm);
        const expectedNorm = step.grad_norm_before_clip;
        assertClose(
          norm.item() as number,
          expectedNorm,
          { rel: allowed.norm(step.step) },
          `step ${step.step} norm`,
        );
        optimizer.step();
        optimizer.zeroGrad();
        ema.update();
        checkState(model, ema.model, step, allowed.state);
      });
    }
    assert.equal(ema.updates, 12);
  });
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

function checkMicro(
  model: DetectionModel,
  loss: DetectionLoss,
  micro: number,
  expected: Micro,
  { step, allowed, low }: { step: number; allowed: Allowed; low: boolean },
): void {
  const input = inputTensor(`trace/input/${micro}`, [golden.batch, 3, golden.imgsz, golden.imgsz]);
  const rows = golden.targets[micro - 1]!;
  const { total, items, assignment } = autocast({ device: 'cpu', dtype: 'bfloat16', enabled: low }, () =>
    loss.forward(model.maps(input), Float32Array.from(rows.flat())),
  );
  const [box, cls, dfl] = values(items);
  const rel = allowed.loss(step);
  for (const [part, found] of Object.entries({ box, cls, dfl, total: total.item() as number })) {
    assertClose(found!, expected[part as 'box' | 'cls' | 'dfl' | 'total'], { rel }, `step ${step} ${part}`);
  }
  if (allowed.exactForeground) {
    const perImage = foregroundPerTarget(assignment, rows).map((counts) =>
      counts.reduce((sum, n) => sum + n, 0),
    );
    assert.deepEqual(perImage, expected.fg_per_image, `step ${step} foreground`);
  }
  total.backward();
}

function checkState(model: DetectionModel, average: DetectionModel, expected: Step, rel: number): void {
  if (expected.model === undefined || expected.ema === undefined) return;
  for (const [what, state, checksums] of [
    ['model', model.stateDict(), expected.model],
    ['ema', average.stateDict(), expected.ema],
  ] as const) {
    for (const [key, checksum] of Object.entries(checksums)) {
      assertClose(checksumOf(state[key]!).l2, checksum.l2, { rel }, `step ${expected.step} ${what} ${key}`);
    }
    const all = Object.values(state).filter((tensor) => tensor.isFloatingPoint());
    const l2 = Math.hypot(...all.map((tensor) => checksumOf(tensor).l2));
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
