import {
  buildModel,
  buildOptimizer,
  choosePrecision,
  DetectionLoss,
  ModelEma,
  TrainStep,
} from '@mezzo/detect';
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
}

const WARM_UP = 2;
const CLASSES = 80;
const BOXES_AN_IMAGE = 8;

/** The same step as in training: forward, loss, backward, clipping, SGD, averaging. */
export function stepHarness({
  model: name = 'yolov8n',
  amp,
  channelsLast,
  imgsz,
  batch,
}: HarnessOptions): StepHarness {
  manualSeed(0);
  const precision = choosePrecision(amp, 'cpu', channelsLast);
  const model = buildModel(name, { nc: CLASSES });
  if (channelsLast) model.to({ memoryFormat: 'channels_last' });
  model.train();
  const step = new TrainStep({
    model,
    loss: new DetectionLoss({ nc: CLASSES, strides: model.strides }),
    optimizer: buildOptimizer(model, { name: 'SGD', lr: 1e-3, momentum: 0.9, weightDecay: 5e-4 }),
    ema: new ModelEma(model, model.clone()),
    scaler: new GradScaler({ device: 'cpu', enabled: precision.scaler }),
    precision,
    device: 'cpu',
    clip: 10,
  });
  const images: Tensor = keep(randint(0, 256, [batch, 3, imgsz, imgsz], { dtype: 'uint8' }));
  const rows = randomRows(batch);
  const once = () => {
    step.accumulate(() => images, rows);
    step.update();
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
