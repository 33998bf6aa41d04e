import {
  buildModel,
  buildOptimizer,
  choosePrecision,
  DetectionLoss,
  ModelEma,
  type StepParts,
  TrainStep,
} from '@mezzo/detect';
import { scaleRule } from '@mezzo/precision';
import { GradScaler, keep, manualSeed, memory, randint, type Tensor } from '@mezzo/torch';

/** Steps of one model on one random batch, ready to be timed. */
export interface StepHarness {
  /** Seconds of each of `count` steps. */
  run(count: number): number[];
  /** Peak bytes of tensors during one step. */
  peakBytes(): number;
  /** Live tensors and bytes now. */
  live(): { tensors: number; bytes: number };
}

export interface HarnessOptions {
  model?: string;
  amp: 'fp32' | 'bf16';
  channelsLast: boolean;
  imgsz: number;
  batch: number;
  /** Scale the loss by this rule, as fp16 needs it. Default: as the precision has it. */
  scaler?: string;
}

/** What a step of a fresh model is made of, and one random batch. */
export interface StepMaterial {
  parts: StepParts;
  images: Tensor;
  rows: Float32Array;
}

const WARM_UP = 2;
const CLASSES = 80;
const BOXES_AN_IMAGE = 8;

export function stepMaterial(options: HarnessOptions): StepMaterial {
  const { model: name = 'yolov8n', amp, channelsLast, imgsz, batch } = options;
  manualSeed(0);
  const precision = choosePrecision(amp, 'cpu', channelsLast);
  const model = buildModel(name, { nc: CLASSES });
  if (channelsLast) model.to({ memoryFormat: 'channels_last' });
  model.train();
  const parts: StepParts = {
    model,
    loss: new DetectionLoss({ nc: CLASSES, strides: model.strides }),
    optimizer: buildOptimizer(model, { name: 'SGD', lr: 1e-3, momentum: 0.9, weightDecay: 5e-4 }),
    ema: new ModelEma(model, model.clone()),
    scaler: new GradScaler({
      device: 'cpu',
      enabled: options.scaler !== undefined || precision.scaler,
      rule: scaleRule(options.scaler ?? 'torch'),
    }),
    precision,
    device: 'cpu',
    clip: 10,
  };
  const images = keep(randint(0, 256, [batch, 3, imgsz, imgsz], { dtype: 'uint8' }));
  return { parts, images, rows: randomRows(batch) };
}

/** The same step as in training: forward, loss, backward, clipping, SGD, averaging. */
export function stepHarness(options: HarnessOptions): StepHarness {
  const { parts, images, rows } = stepMaterial(options);
  const step = new TrainStep(parts);
  const once = () => {
    step.run(() => images, rows);
  };
  for (let i = 0; i < WARM_UP; i++) once();
  return {
    run: (count) =>
      Array.from({ length: count }, () => {
        const begun = performance.now();
        once();
        return (performance.now() - begun) / 1000;
      }),
    peakBytes: () => {
      memory.resetPeak();
      once();
      return memory.stats().peakBytes;
    },
    live: () => {
      const { liveTensors, liveBytes } = memory.stats();
      return { tensors: liveTensors, bytes: liveBytes };
    },
  };
}

/** Rows image, class, cx, cy, w, h: sides 0.3 to 0.6 of the image, as the peer's batch has them. */
function randomRows(batch: number): Float32Array {
  let state = 1;
  // A fixed sequence (Numerical Recipes' constants), so that every run measures the same work.
  const draw = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const rows: number[] = [];
  for (let image = 0; image < batch; image++) {
    for (let i = 0; i < BOXES_AN_IMAGE; i++) {
      rows.push(image, Math.floor(draw() * CLASSES), ...Array.from({ length: 4 }, () => 0.3 + 0.3 * draw()));
    }
  }
  return Float32Array.from(rows);
}
