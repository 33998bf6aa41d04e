import { autocast, inferenceMode, scope } from '@mezzo/torch';
import type { Size } from '../augment/geometry.ts';
import type { ValBatch, ValImage } from '../data/val-loader.ts';
import type { Criterion } from '../loss/criterion.ts';
import { DetectionMetrics, type DetectionResult } from '../metrics/detection.ts';
import type { Detections, Targets } from '../metrics/detections.ts';
import { type NmsOptions, nonMaxSuppression } from '../metrics/nms.ts';
import type { EdgeRule, MetricRules } from '../metrics/rules.ts';
import type { DetectionModel } from '../models/build.ts';
import { type BoxGain, clipBoxes, fromNormalized } from '../predict/boxes.ts';
import type { ImageBlock } from './batch-memory.ts';
import { imagesOf } from './batches.ts';
import { type DeviceName, deviceType } from './device.ts';
import { toInput } from './images.ts';
import type { RunPrecision } from './precision.ts';

export interface ValidateOptions {
  model: DetectionModel;
  batches: AsyncIterable<ValBatch<ImageBlock>>;
  device: DeviceName;
  precision: RunPrecision;
  nms: NmsOptions;
  rules: MetricRules;
  names: readonly string[];
  /** Computes the losses too when given. */
  loss?: Criterion;
  onBatch?: (done: number) => void;
  /** How boxes return to the original image. */
  boxGain: BoxGain;
  /** Sees what was found in each image (boxes in its own pixels), for pictures and result files. */
  onImage?: (image: ValImage, detections: Detections) => void;
  /** Sees each batch with what was found in its images, in the pixels of the network's input. */
  onNetworkBatch?: (batch: ValBatch<ImageBlock>, found: readonly Detections[]) => void;
  signal?: AbortSignal;
}

export interface ValidateOutcome {
  result: DetectionResult;
  /** Mean items of the loss over the batches; zeros without `loss`. */
  losses: number[];
}

/**
 * Runs a model in evaluation mode over a split and measures it. Times are mean seconds an image, with the
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
      const [count] = batch.shape;
      const size = predictions.length / count;
      const found = batch.images.map((_, i) =>
        nonMaxSuppression(predictions.subarray(i * size, (i + 1) * size), size / anchors - 4, options.nms),
      );
      batch.images.forEach((image, i) => {
        const boxes = toOriginal(found[i]!.boxes, image, options.boxGain);
        const detections = { ...found[i]!, boxes: clipBoxes(boxes.slice(), image) };
        metrics.add({ ...found[i]!, boxes: boxesToMatch(boxes, image, rules.edges) }, targetsOf(image));
        options.onImage?.(image, detections);
      });
      spent.preprocess += times.preprocess;
      spent.inference += times.inference;
      spent.postprocess += performance.now() - begun;
      images += count;
      options.onNetworkBatch?.(batch, found);
      batch.memory.release();
      options.onBatch?.(++done);
    }
  } finally {
    model.train(training);
  }
  const result = metrics.result();
  const per = (milliseconds: number) => milliseconds / 1000 / Math.max(images, 1);
  result.speed = {
    preprocess: per(spent.preprocess),
    inference: per(spent.inference),
    postprocess: per(spent.postprocess),
  };
  return { result, losses: losses.map((sum) => sum / Math.max(done, 1)) };
}

/** Forward of one batch; adds its losses to `losses`. Reading the predictions waits for the device. */
function infer(options: ValidateOptions, batch: ValBatch<ImageBlock>, losses: number[]) {
  const { model, device, precision, loss } = options;
  return scope(() =>
    inferenceMode(() => {
      const begun = performance.now();
      const input = toInput(imagesOf(batch), device, precision);
      const ready = performance.now();
      const region = {
        device: deviceType(device),
        dtype: precision.dtype,
        enabled: precision.enabled,
      } as const;
      const { decoded, maps } = autocast(region, () => model.predict(input));
      // HOST SYNC: suppression and matching run on the host.
      const predictions = decoded.toTypedArray() as Float32Array;
      const finished = performance.now();
      if (loss) {
        const { items } = loss.forward(maps, batch.targets);
        (items.toTypedArray() as Float32Array).forEach((value, i) => {
          losses[i]! += value;
        });
      }
      const times = { preprocess: ready - begun, inference: finished - ready };
      return { predictions, anchors: decoded.size(2), times };
    }),
  );
}

/** Corner boxes from the network's pixels to those of the original image. */
function toOriginal(boxes: Float32Array, image: ValImage, rule: BoxGain): Float32Array {
  const { gain, pad } = image.placement;
  const gains = rule === 'axis' ? gain : [gain[1], gain[1]];
  return boxes.map((value, i) => (value - pad[i % 2]!) / gains[i % 2]!);
}

/** Detections as they are matched with ground truth: whole, or cut off at the edges of the image. */
export function boxesToMatch(boxes: Float32Array, image: Size, edges: EdgeRule): Float32Array {
  return edges === 'cut' ? clipBoxes(boxes.slice(), image) : boxes;
}

const LABEL_COLUMNS = 5;

/** Ground truth in the pixels of the original image. */
export function targetsOf(image: ValImage): Targets {
  const count = image.labels.length / LABEL_COLUMNS;
  const cls = new Int32Array(count);
  const rows = new Float32Array(4 * count);
  for (let i = 0; i < count; i++) {
    cls[i] = image.labels[i * LABEL_COLUMNS]!;
    rows.set(image.labels.subarray(i * LABEL_COLUMNS + 1, (i + 1) * LABEL_COLUMNS), 4 * i);
  }
  return { count, boxes: fromNormalized(rows, image), cls };
}
