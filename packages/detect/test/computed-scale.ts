import { BoundaryGradients, calibrateScale, SCALE_RULES, sampleBoundaries } from '@mezzo/precision';
import {
  amp,
  autocast,
  forkRng,
  GradScaler,
  grad,
  manualSeed,
  randint,
  scope,
  setNumThreads,
  type Tensor,
} from '@mezzo/torch';
import { buildModel, buildOptimizer, DetectionLoss } from '../src/index.ts';
import type { HeadMaps } from '../src/models/decode.ts';

// Where a CPU multiplies in fp16 but not in tiles of it, oneDNN's backward kernels take several times as long as LibTorch's.
process.env.ONEDNN_MAX_CPU_ISA ??= 'AVX512_CORE';

export interface ScaleTrial {
  /** Windows whose gradients overflowed. */
  skipped: number[];
  samples: ScaleSample[];
}

export interface ScaleSample {
  step: number;
  /** The scale in force. */
  scale: number;
  /** The largest power of two for which the batch, replayed, is finite. */
  best: number;
  /** What the batch's own largest gradient calls for, without headroom. */
  called: number;
}

export interface TrialOptions {
  /** Steps in bf16 before the trial. Default none. */
  before?: number;
  steps: number;
  /** Steps whose batch is replayed to find the best scale. */
  sampled: (step: number) => boolean;
  imgsz: number;
  batch: number;
}

const BOXES = 4;

/** Trains YOLOv8n in fp16 on the CPU with a computed scale, from scratch or after some steps in bf16. */
export function trialOfComputedScale({ before = 0, steps, sampled, imgsz, batch }: TrialOptions): ScaleTrial {
  setNumThreads(1);
  manualSeed(0);
  const model = buildModel('yolov8n', { nc: 3 });
  model.to({ memoryFormat: 'channels_last' });
  model.train();
  const loss = new DetectionLoss({ nc: 3, strides: model.strides });
  const { optimizer } = buildOptimizer(model, { name: 'SGD', lr: 0.01, momentum: 0.9, weightDecay: 5e-4 });
  const scaler = new GradScaler({ device: 'cpu', rule: SCALE_RULES.computed });
  const common = { model, optimizers: optimizer, clip: 10 };
  const fp16 = { device: 'cpu', dtype: 'float16', enabled: true } as const;

  /** Coarse blocks of colour, and boxes somewhere on them. */
  const draw = (seed: number) => {
    const random = generator(seed);
    const side = imgsz / 16;
    const blocks = forkRng(() => {
      manualSeed(seed + 1000);
      return randint(0, 256, [batch, 3, side, side], { dtype: 'float32' }).div(255);
    });
    const images = blocks.repeatInterleave(16, 2).repeatInterleave(16, 3);
    const rows = Array.from({ length: batch * BOXES }, (_, i) => {
      const [w, h] = [0.25 + 0.35 * random(), 0.25 + 0.35 * random()];
      const [x, y] = [w / 2 + (1 - w) * random(), h / 2 + (1 - h) * random()];
      return [Math.floor(i / BOXES), Math.floor(3 * random()), x, y, w, h];
    });
    return { images, rows: Float32Array.from(rows.flat()) };
  };
  const lossOf = (seed: number, region: Parameters<typeof autocast>[0]): Tensor => {
    const { images, rows } = draw(seed);
    const maps = autocast(region as typeof fp16, () => model.forward(images)) as HeadMaps;
    return loss.forward(maps, rows).total;
  };
  const parameters = model.parameters().filter(({ requiresGrad }) => requiresGrad);
  /** One forward pass, and backward at one scale after the other. */
  const replay = (seed: number, scale: number): Pick<ScaleSample, 'best' | 'called'> =>
    scope(() => {
      const boundaries = new BoundaryGradients(model, 'float16');
      boundaries.listen();
      const total = lossOf(seed, fp16);
      const largestAt = (at: number): number => {
        const grads = grad(total.mul(at), parameters, { allowUnused: true, retainGraph: true });
        const known = grads.flatMap((each) => (each === null ? [] : [each]));
        if (!amp.readMagnitudes(amp.magnitudes(known)).every(Number.isFinite)) return Number.NaN;
        const half = grads.filter((each, i) => each !== null && boundaries.parameters.has(parameters[i]!));
        const between = boundaries.stop()!;
        try {
          return (
            Math.max(Number(between.item()), ...amp.readMagnitudes(amp.magnitudes(half as Tensor[]))) / at
          );
        } finally {
          between.dispose();
        }
      };
      const finiteAt = (at: number) => Number.isFinite(largestAt(at));
      let best = scale;
      while (!finiteAt(best)) best /= 2;
      const called = amp.scaleFor({ ...SCALE_RULES.computed, headroom: 0 }, largestAt(best));
      while (finiteAt(2 * best)) best *= 2;
      boundaries.stop()?.dispose();
      return { best, called };
    });

  const warmUp = new amp.TrainingStep(common);
  for (let i = 1; i <= before; i++) warmUp.run(() => lossOf(-i, { ...fp16, dtype: 'bfloat16' }));
  const step = new amp.TrainingStep({ ...common, scaler });
  calibrateScale({ model, scaler, device: 'cpu', loss: (region) => lossOf(1, region) });
  const sampling = sampleBoundaries(model, scaler, { every: 5 });
  const trial: ScaleTrial = { skipped: [], samples: [] };
  for (let i = 1; i <= steps; i++) {
    const scale = scaler.getScale();
    const replayed = sampled(i) ? replay(i, scale) : null;
    const { applied } = step.run(() => lossOf(i, fp16));
    if (applied === false) trial.skipped.push(i);
    if (replayed !== null) trial.samples.push({ step: i, scale, ...replayed });
  }
  sampling.remove();
  return trial;
}

/** Uniform numbers in [0, 1): a linear congruential generator. */
function generator(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
