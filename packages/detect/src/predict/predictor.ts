import { type NativeImage, native } from '@mezzo/libtorch';
import { autocast, inferenceMode, scope, type Tensor } from '@mezzo/torch';
import { letterbox, type Size } from '../augment/geometry.ts';
import type { Modality } from '../augment/pair-draw.ts';
import { letterboxJob, type SourceImage } from '../augment/warp-job.ts';
import { fitsColour } from '../data/channels.ts';
import { groupChannels } from '../data/decode.ts';
import type { Decoding } from '../data/decode-as.ts';
import { silence } from '../data/pairs/silence.ts';
import { BatchMemory } from '../engine/batch-memory.ts';
import { type DeviceName, deviceType } from '../engine/device.ts';
import { largestStride, wholeStrides } from '../engine/image-size.ts';
import { toInput } from '../engine/images.ts';
import type { RunPrecision } from '../engine/precision.ts';
import { type NmsOptions, nonMaxSuppression } from '../metrics/nms.ts';
import type { DetectionModel } from '../models/build.ts';
import { type RawImage, toRgb } from '../plots/raster.ts';
import { type BoxGain, scaleBoxes } from './boxes.ts';
import { SourceError } from './errors.ts';
import { readImage } from './image.ts';
import { type ImagePair, readPair } from './pair-image.ts';
import { Results } from './results.ts';

/** An image to look at: a file, its encoded bytes, pixels (8 bits, interleaved), or the files of a pair. */
export type PredictImage = string | Uint8Array | RawImage | ImagePair;

export interface PredictorOptions {
  model: DetectionModel;
  device: DeviceName;
  precision: RunPrecision;
  imgsz: number;
  batch: number;
  nms: NmsOptions;
  boxGain: BoxGain;
  /** Of files and bytes that are no pairs. */
  decoding: Decoding;
}

interface Loaded {
  path: string;
  image: SourceImage;
  /** Of a pair with one picture only. */
  missing: Modality | null;
  /** Where pictures are drawn from: a pair has two. */
  views: readonly (string | Uint8Array | RawImage)[];
  /** The second file of a pair. */
  infrared?: string | null;
}

/** Finds objects in images, `batch` at a time; the next batch is decoded while the network runs. */
export class Predictor {
  private readonly options: PredictorOptions;
  private readonly memory: BatchMemory;
  private readonly pixels: NativeImage;

  constructor(options: PredictorOptions) {
    this.options = options;
    this.memory = new BatchMemory(options.device);
    this.pixels = native();
    options.model.eval();
  }

  async *run(images: Iterable<PredictImage> | AsyncIterable<PredictImage>): AsyncGenerator<Results> {
    let number = 0;
    let waiting: Promise<Loaded>[] = [];
    for await (const source of images) {
      const path = nameOf(source) ?? `image${number}.jpg`;
      number += 1;
      const loaded = load(path, source, this.options.model.ch, this.options.decoding);
      // Its error is thrown when its turn comes.
      loaded.catch(() => undefined);
      waiting.push(loaded);
      if (waiting.length < this.options.batch) continue;
      yield* await this.predict(await Promise.all(waiting));
      waiting = [];
    }
    if (waiting.length > 0) yield* await this.predict(await Promise.all(waiting));
  }

  private async predict(images: readonly Loaded[]): Promise<Results[]> {
    const { options } = this;
    const begun = performance.now();
    const network = this.networkSize(images.map(({ image }) => image));
    const channels = options.model.ch;
    const bytes = network.width * network.height * channels;
    const block = this.memory.allocate(images.length * bytes);
    await Promise.all(
      images.map(async ({ image, missing }, i) => {
        const out = block.bytes.subarray(i * bytes, (i + 1) * bytes);
        const job = letterboxJob(image, letterbox(image, network), network, channels);
        await this.pixels.imageLetterbox(out, job, image.pixels);
        if (missing !== null) silence(out, channels, missing);
      }),
    );
    const prepared = performance.now();
    const { predictions, anchors } = this.forward(() =>
      block.images(images.length, channels, network.height, network.width),
    );
    block.release();
    const inferred = performance.now();
    const size = predictions.length / images.length;
    const classes = size / anchors - 4;
    const found = images.map(({ image }, i) => {
      const detections = nonMaxSuppression(
        predictions.subarray(i * size, (i + 1) * size),
        classes,
        options.nms,
      );
      return { ...detections, boxes: scaleBoxes(detections.boxes, network, image, options.boxGain) };
    });
    const finished = performance.now();
    const each = (from: number, to: number) => (to - from) / 1000 / images.length;
    const speed = {
      preprocess: each(begun, prepared),
      inference: each(prepared, inferred),
      postprocess: each(inferred, finished),
    };
    return images.map(({ path, image, views, infrared }, i) => {
      const { width, height } = image;
      return new Results({
        path,
        views,
        width,
        height,
        ...(infrared === undefined ? {} : { infrared }),
        names: options.model.names,
        detections: found[i]!,
        speed,
      });
    });
  }

  /** Images of one size are padded only to a multiple of the stride; others share a square. */
  private networkSize(images: readonly Size[]): Size {
    const { imgsz } = this.options;
    const first = images[0]!;
    if (images.some(({ width, height }) => width !== first.width || height !== first.height)) {
      return { width: imgsz, height: imgsz };
    }
    const fit = letterbox(first, { width: imgsz, height: imgsz });
    const stride = largestStride(this.options.model);
    return { width: wholeStrides(fit.width, stride), height: wholeStrides(fit.height, stride) };
  }

  private forward(images: () => Tensor): { predictions: Float32Array; anchors: number } {
    const { model, device, precision } = this.options;
    return scope(() =>
      inferenceMode(() => {
        const input = toInput(images(), device, precision);
        const region = {
          device: deviceType(device),
          dtype: precision.dtype,
          enabled: precision.enabled,
        } as const;
        const { decoded } = autocast(region, () => model.predict(input));
        // HOST SYNC: suppression runs on the host.
        return { predictions: decoded.toTypedArray() as Float32Array, anchors: decoded.size(2) };
      }),
    );
  }
}

/** The file of an image; of a pair, that of the visible picture if there is one. */
function nameOf(source: PredictImage): string | null {
  if (typeof source === 'string') return source;
  return isPair(source) ? (source.visible ?? source.infrared) : null;
}

const isPair = (source: PredictImage): source is ImagePair =>
  typeof source === 'object' && 'infrared' in source;

async function load(
  path: string,
  source: PredictImage,
  channels: number,
  decoding: Decoding,
): Promise<Loaded> {
  if (isPair(source)) {
    if (!takesPairs(channels)) throw wrongChannels(path, 'two pictures', channels);
    return { path, infrared: source.infrared, ...(await readPair(source)) };
  }
  const colour = fitsColour(channels);
  if (typeof source === 'string' || source instanceof Uint8Array) {
    const pixels = await readImage(source, channels, decoding);
    // Colour is read again where a picture is asked for; of other images the pixels are kept.
    const view = typeof source === 'string' && colour && decoding === 'plain' ? source : pixels;
    return { path, image: groupChannels(pixels), missing: null, views: [view] };
  }
  if (!colour && source.channels !== channels) {
    throw wrongChannels(path, `${source.channels} channels`, channels);
  }
  const pixels = colour ? toRgb(source) : source;
  return { path, image: groupChannels(pixels), missing: null, views: [pixels] };
}

/** Both pictures of a pair fill three channels, or the second one. */
const takesPairs = (channels: number): boolean => channels === 6 || channels === 4;

function wrongChannels(path: string, given: string, channels: number): SourceError {
  return new SourceError('BAD_IMAGE', `${path} has ${given}, the network takes ${channels} channels`, {
    hint: 'give images of the kind that the model was trained on',
  });
}
