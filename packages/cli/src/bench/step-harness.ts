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
  /** A name, or a model's table. */
  model?: string | object;
  /** true: what the device is best at. */
  amp: 'fp32' | 'bf16' | 'fp16' | true;
  channelsLast: boolean;
  imgsz: number;
  batch: number;
  /** `cpu` unless given. */
  device?: string;
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
  const parts = stepParts(options);
  return { parts, ...randomBatch(parts, options.imgsz, options.batch) };
}

/** A fresh model and what trains it. */
export function stepParts(options: Omit<HarnessOptions, 'imgsz' | 'batch'>): StepParts {
  const { model: name = 'yolov8n', amp, channelsLast, device = 'cpu' } = options;
  manualSeed(0);
  const precision = choosePrecision(amp, device, channelsLast);
  const model = buildModel(name, { nc: CLASSES });
  model.to({ device, ...(channelsLast ? { memoryFormat: 'channels_last' } : {}) });
  model.train();
  return {
    model,
    loss: new DetectionLoss({ nc: CLASSES, strides: model.strides }),
    optimizer: buildOptimizer(model, {
      name: 'SGD',
      lr: 1e-3,
      momentum: 0.9,
      weightDecay: 5e-4,
      fused: device !== 'cpu',
    }),
    ema: new ModelEma(model, model.clone()),
    scaler: new GradScaler({
      device: device === 'cpu' ? 'cpu' : 'cuda',
      enabled: options.scaler !== undefined || precision.scaler,
      rule: scaleRule(options.scaler ?? 'torch'),
    }),
    precision,
    device,
    clip: 10,
  };
}

/** One random batch for a model, on its device; the caller disposes of the images. */
export function randomBatch(
  { model, device }: StepParts,
  imgsz: number,
  batch: number,
): Pick<StepMaterial, 'images' | 'rows'> {
  const images = keep(randint(0, 256, [batch, model.ch, imgsz, imgsz], { dtype: 'uint8', device }));
  return { images, rows: randomRows(batch) };
}

/** The same step as in training: forward, loss, backward, clipping, SGD, averaging. Nothing has run yet. */
export function stepOnce(options: HarnessOptions): () => void {
  const { parts, images, rows } = stepMaterial(options);
  const step = new TrainStep(parts);
  return () => {
    step.run(() => images, rows);
  };
}

/** {@link stepOnce}, warmed up. */
export function stepHarness(options: HarnessOptions): StepHarness {
  const once = stepOnce(options);
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
