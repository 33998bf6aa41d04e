import { cat, inferenceMode, MezzoError, scope, type Tensor } from '@mezzo/torch';
import type { Decoding } from '../data/decode-as.ts';
import { nonMaxSuppression } from '../metrics/nms.ts';
import type { DetectionModel } from '../models/build.ts';
import { type OnnxModel, type OnnxOptions, onnxModel } from './onnx.ts';
import { findRuntime, type OnnxRuntime, type OnnxSession, RUNTIME_HINT } from './runtime.ts';
import { sampleImages } from './sample-images.ts';

/** How far the file's numbers may be from the model's. */
export interface OnnxTolerance {
  /** Pixels, of every coordinate of every anchor. */
  readonly box: number;
  readonly score: number;
}

/** fp32, images up to 640 px; coordinates of larger ones are rounded in proportion. */
const FLOAT: OnnxTolerance = { box: 3e-3, score: 1e-4 };
/** fp16 keeps 11 bits, and a box of the largest stride is 32 px for each cell. */
const HALF: OnnxTolerance = { box: 4, score: 2e-2 };

export type Verification =
  | {
      readonly verified: true;
      readonly runtime: string;
      readonly images: number;
      /** fp64 when the model's own rounding in fp32 was as large as the tolerance on some image, which was then compared anew. */
      readonly reference: 'fp32' | 'fp64';
      /** Largest difference of a coordinate in pixels, and of a score. */
      readonly boxError: number;
      readonly scoreError: number;
      readonly tolerance: OnnxTolerance;
      /** Boxes after suppression that were compared; null without suppression in the graph. */
      readonly detections: number | null;
    }
  | { readonly verified: false; readonly reason: string; readonly hint: string };

/**
 * Runs a file that is about to be written with onnxruntime, and compares it with the model as it is for inference: on the
 * CPU in fp32, with every BatchNorm folded as in the file. Where they differ by more than the tolerance, it is compared
 * with the model in fp64, not folded, as fp32 rounds on both sides. (Folding itself moves boxes by as much as the
 * tolerance in places: without it a YOLO11n that was trained on 320 px rounds by 1.7e-3 px, with it by 1.1e-3.)
 * @throws {MezzoError} EXPORT_MISMATCH when they differ by more than the tolerance
 */
export async function verifyOnnx(
  model: DetectionModel,
  file: OnnxModel,
  options: OnnxOptions,
  source: string | null,
  decoding: Decoding = 'plain',
): Promise<Verification> {
  const found = await findRuntime();
  if ('absent' in found) return { verified: false, reason: found.absent, hint: RUNTIME_HINT };
  const { runtime } = found;
  const samples = await sampleImages(model, options.imgsz, source, decoding);
  const plain = options.nms === null ? file : onnxModel(model, { ...options, nms: null });
  const box = options.half ? HALF.box : FLOAT.box * Math.max(1, options.imgsz / 640);
  const tolerance = { box, score: options.half ? HALF.score : FLOAT.score };
  const folded = model.fused();
  const network = await open(runtime, plain);
  let suppressing: OnnxSession | null = null;
  let exact: DetectionModel | undefined;
  let reference: 'fp32' | 'fp64' = 'fp32';
  let boxError = 0;
  let scoreError = 0;
  let detections = 0;
  try {
    if (options.nms !== null) suppressing = await open(runtime, file);
    for (const images of batches(samples, options, Math.max(...model.strides))) {
      const found = await run(runtime, network, images);
      const rows = 4 + model.nc;
      let error = largestErrors(found, predictions(folded, images), rows, images.shape[0]!);
      if (!options.half && !within(error, tolerance)) {
        reference = 'fp64';
        exact ??= model.clone().to({ dtype: 'float64' });
        error = largestErrors(found, predictions(exact, images.double()), rows, images.shape[0]!);
      }
      boxError = Math.max(boxError, error.box);
      scoreError = Math.max(scoreError, error.score);
      if (suppressing !== null) {
        detections += compareDetections(await run(runtime, suppressing, images), found, options, model.nc);
      }
    }
  } finally {
    await network.release();
    await suppressing?.release();
  }
  if (!within({ box: boxError, score: scoreError }, tolerance)) {
    throw new MezzoError(
      'EXPORT_MISMATCH',
      `onnxruntime's result differs from the model's by ${boxError} px and ${scoreError} in score; ` +
        `allowed are ${tolerance.box} px and ${tolerance.score}`,
      { hint: options.half ? 'export without half=true' : 'nothing was written; please report it' },
    );
  }
  return {
    verified: true,
    runtime: `onnxruntime-node ${runtime.env.versions.node ?? runtime.env.versions.common ?? ''}`.trim(),
    images: samples.length,
    reference,
    boxError,
    scoreError,
    tolerance,
    detections: suppressing === null ? null : detections,
  };
}

function predictions(model: DetectionModel, images: Tensor): Float32Array {
  return scope(() => inferenceMode(() => model.predict(images).decoded.toTypedArray())) as Float32Array;
}

/** NaN is not. */
const within = (error: OnnxTolerance, tolerance: OnnxTolerance): boolean =>
  error.box <= tolerance.box && error.score <= tolerance.score;

async function open(runtime: OnnxRuntime, { chunks }: OnnxModel): Promise<OnnxSession> {
  try {
    return await runtime.InferenceSession.create(Buffer.concat(chunks), { logSeverityLevel: 3 });
  } catch (cause) {
    throw new MezzoError('EXPORT_MISMATCH', `onnxruntime refuses the file: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Samples in the file's batch size, the last one repeated to fill it; a dynamic file also sees two at once, and a strip. */
function* batches(
  samples: readonly Tensor[],
  { batch, dynamic }: OnnxOptions,
  step: number,
): Generator<Tensor> {
  for (let at = 0; at < samples.length; at += batch) {
    const group = Array.from({ length: batch }, (_, i) => samples[Math.min(at + i, samples.length - 1)]!);
    yield cat(group, 0);
  }
  if (!dynamic) return;
  const [first] = samples as [Tensor];
  const strip = Math.max(step, Math.floor(first.shape[2]! / 2 / step) * step);
  yield cat([first, samples.at(-1)!], 0);
  yield first.narrow(2, 0, strip).contiguous();
}

async function run(runtime: OnnxRuntime, session: OnnxSession, images: Tensor): Promise<Float32Array> {
  const input = new runtime.Tensor('float32', images.toTypedArray() as Float32Array, images.shape);
  try {
    return (await session.run({ images: input })).output0!.data;
  } catch (cause) {
    throw new MezzoError('EXPORT_MISMATCH', `onnxruntime cannot run the file: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function largestErrors(
  found: Float32Array,
  expected: Float32Array,
  rows: number,
  images: number,
): { box: number; score: number } {
  if (found.length !== expected.length) return { box: Number.NaN, score: Number.NaN };
  const anchors = expected.length / images / rows;
  const largest = { box: 0, score: 0 };
  for (let i = 0; i < expected.length; i++) {
    const part = Math.floor(i / anchors) % rows < 4 ? 'box' : 'score';
    const error = Math.abs(found[i]! - expected[i]!);
    // A difference that is NaN stays.
    if (!(error <= largest[part])) largest[part] = error;
  }
  return largest;
}

/** Compares suppression in the graph with ours on the same predictions; the number of boxes. */
function compareDetections(
  rows: Float32Array,
  predictions: Float32Array,
  { nms }: OnnxOptions,
  classes: number,
): number {
  const { conf, iou, maxDet, agnostic } = nms!;
  const images = rows.length / (6 * maxDet);
  const size = predictions.length / images;
  let count = 0;
  for (let image = 0; image < images; image++) {
    const expected = nonMaxSuppression(predictions.subarray(image * size, (image + 1) * size), classes, {
      ...{ conf, iou, maxDet, agnostic, multiLabel: false, maxNms: Number.POSITIVE_INFINITY },
    });
    const own = rows.subarray(image * 6 * maxDet, (image + 1) * 6 * maxDet);
    const found = Array.from({ length: maxDet }, (_, i) => own.subarray(6 * i, 6 * i + 6)).filter(
      (row) => row[4]! > 0,
    );
    const same =
      found.length === expected.count &&
      found.every(
        (row, i) =>
          row[4] === expected.conf[i] &&
          row[5] === expected.cls[i] &&
          row.subarray(0, 4).every((side, k) => Math.abs(side - expected.boxes[4 * i + k]!) <= FLOAT.box),
      );
    if (!same) {
      throw new MezzoError(
        'EXPORT_MISMATCH',
        `suppression in the graph keeps ${found.length} boxes, Mezzo's ${expected.count}, or others`,
        { hint: 'nothing was written; please report it' },
      );
    }
    count += found.length;
  }
  return count;
}
