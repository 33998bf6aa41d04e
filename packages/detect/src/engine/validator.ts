import { autocast, inferenceMode, scope, type Tensor } from '@mezzo/torch';
import type { DetectionLoss } from '../loss/detection.ts';
import { type DetectionResult, DetectionMetrics } from '../metrics/detection.ts';
import type { Detections, Targets } from '../metrics/detections.ts';
import { nonMaxSuppression, type NmsOptions } from '../metrics/nms.ts';
import type { MetricRules } from '../metrics/rules.ts';
import type { DetectionModel } from '../models/build.ts';
import { type DeviceName, deviceType } from './device.ts';
import { toInput } from './images.ts';
import type { RunPrecision } from './precision.ts';

/** An image of a validation batch: where its boxes are true, and how to get back there from the network's pixels. */
export interface ValImage {
  readonly path: string;
  /** Ground truth in the pixels of the original image. */
  readonly targets: Targets;
  /** Maps corner boxes from network pixels to the original image, clipped to it. */
  toOriginal(boxes: Float32Array): Float32Array;
}

/** Letterboxed images uint8 [B, 3, H, W], their label rows for the loss, and each image's ground truth. */
export interface ValBatch {
  readonly images: Tensor;
  readonly rows: Float32Array;
  readonly items: readonly ValImage[];
  /** Gives the batch's memory back. */
  release(): void;
}

export interface ValidateOptions {
  model: DetectionModel;
  batches: AsyncIterable<ValBatch>;
  device: DeviceName;
  precision: RunPrecision;
  nms: NmsOptions;
  rules: MetricRules;
  names: readonly string[];
  /** Computes the losses too when given. */
  loss?: DetectionLoss;
  onBatch?: (done: number) => void;
  /** Sees what was found in each image, for pictures and result files. */
  onImage?: (image: ValImage, detections: Detections) => void;
  signal?: AbortSignal;
}

export interface ValidateOutcome {
  result: DetectionResult;
  /** Mean box, cls and dfl losses over the batches; zeros without `loss`. */
  losses: number[];
}

/**
 * Runs a model in evaluation mode over a split and measures it. Times are wall-clock milliseconds an image, with the
 * device waited for.
 */
export async function validate(options: ValidateOptions): Promise<ValidateOutcome> {
  const { model, batches, rules, names } = options;
  const metrics = new DetectionMetrics(names, rules);
  const losses = [0, 0, 0];
  const spent = { preprocess: 0, inference: 0, postprocess: 0 };
  const training = model.training;
  let done = 0;
  let images = 0;
  model.eval();
  try {
    for await (const batch of batches) {
      options.signal?.throwIfAborted();
      const { predictions, anchors, times } = infer(options, batch, losses);
      const begun = performance.now();
      const width = predictions.length / batch.items.length;
      batch.items.forEach((image, i) => {
        const rows = predictions.subarray(i * width, (i + 1) * width);
        const found = nonMaxSuppression(rows, width / anchors - 4, options.nms);
        const detections = { ...found, boxes: image.toOriginal(found.boxes) };
        metrics.add(detections, image.targets);
        options.onImage?.(image, detections);
      });
      spent.preprocess += times.preprocess;
      spent.inference += times.inference;
      spent.postprocess += performance.now() - begun;
      images += batch.items.length;
      batch.release();
      options.onBatch?.(++done);
    }
  } finally {
    model.train(training);
  }
  const result = metrics.result();
  const per = (milliseconds: number) => milliseconds / Math.max(images, 1);
  result.speed = { preprocess: per(spent.preprocess), inference: per(spent.inference), postprocess: per(spent.postprocess) };
  return { result, losses: losses.map((sum) => sum / Math.max(done, 1)) };
}

/** Forward of one batch; adds its losses to `losses`. Reading the predictions waits for the device. */
function infer(options: ValidateOptions, batch: ValBatch, losses: number[]) {
  const { model, device, precision, loss } = options;
  return scope(() =>
    inferenceMode(() => {
      const begun = performance.now();
      const input = toInput(batch.images, device, precision);
      const ready = performance.now();
      const region = { device: deviceType(device), dtype: precision.dtype, enabled: precision.enabled } as const;
      const { decoded, maps } = autocast(region, () => model.predict(input));
      // HOST SYNC: suppression and matching run on the host.
      const predictions = decoded.toTypedArray() as Float32Array;
      const finished = performance.now();
      if (loss) {
        const { items } = loss.forward(maps, batch.rows);
        (items.toTypedArray() as Float32Array).forEach((value, i) => {
          losses[i]! += value;
        });
      }
      const times = { preprocess: ready - begun, inference: finished - ready };
      return { predictions, anchors: decoded.size(2), times };
    }),
  );
}
