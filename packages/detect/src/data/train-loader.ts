/** Training batches: decoded, augmented and written into batch memory off the JavaScript thread. */
import type { NativeImage } from '@mezzo/libtorch';
import type { Augmentation } from '../augment/augmentation.ts';
import { drawSample, type LayerDraw } from '../augment/draw.ts';
import { type LabelledSource, type LayerImages, trainingPicture } from '../augment/plan.ts';
import { epochOrder } from '../augment/random.ts';
import { Gate, picturesInFlight, settleAll } from './concurrent.ts';
import { DecodedImages } from './decoded-images.ts';
import type { Allocate, ImageMemory } from './image-memory.ts';
import type { Fault } from './inspect-image.ts';
import { pipeline } from './pipeline.ts';
import type { LabelledImage } from './scan.ts';
import { writeTargets } from './targets.ts';

export interface TrainLoaderOptions<M extends ImageMemory> {
  images: readonly LabelledImage[];
  imgsz: number;
  batch: number;
  /** Channels of the pictures: 3 (RGB) or 1 (luma). */
  channels: 1 | 3;
  augment: Augmentation;
  seed: number;
  /** Pictures prepared at a time, at most two for each core; 0 prepares nothing ahead. */
  workers: number;
  /** Keep every decoded image in memory; mosaic partners then come from the whole set. */
  cacheRam?: boolean;
  /** An image that does not decode is an error; otherwise its picture stays grey and it is reported once. */
  strict?: boolean;
  allocate: Allocate<M>;
  pixels: NativeImage;
  onSkip?: (fault: Fault) => void;
}

export interface TrainBatch<M extends ImageMemory> {
  /** Index in the epoch. */
  index: number;
  /** Holds the pictures as uint8 [B, H, W, C]; the consumer releases it. */
  memory: M;
  shape: [pictures: number, height: number, width: number, channels: number];
  /** Rows `picture class cx cy w h`, normalised to the picture. */
  targets: Float32Array;
  /** File of each picture (the first tile of a mosaic). */
  paths: string[];
}

export interface EpochOptions {
  /** First batch: a resumed epoch starts in its middle. */
  from?: number;
  /** Mosaic and mixup may be switched off for the last epochs (`close_mosaic`). */
  mosaic?: boolean;
  signal?: AbortSignal;
}

// Mosaic partners come from so many of the most recent samples.
const POOL_BATCHES = 8;
const POOL_LIMIT = 1000;
const PREFETCH = 2;

/**
 * A batch is a pure function of the options, the epoch and its index: the number of workers, the memory and the
 * place where a run was resumed change nothing in it. Every epoch visits all images in an order of its own; the
 * last batch may be smaller.
 */
export class TrainLoader<M extends ImageMemory> {
  private readonly options: TrainLoaderOptions<M>;
  private readonly decoded: DecodedImages;
  private readonly gate: Gate;
  private readonly pool: number;
  private readonly orders = new Map<number, Uint32Array>();

  constructor(options: TrainLoaderOptions<M>) {
    const { images, imgsz, pixels, batch, workers, cacheRam = false, strict = false, onSkip } = options;
    this.options = options;
    this.decoded = new DecodedImages({ images, pixels, imgsz, keepAll: cacheRam, strict, onSkip });
    this.gate = new Gate(picturesInFlight(workers));
    this.pool = cacheRam ? images.length : Math.min(images.length, POOL_BATCHES * batch, POOL_LIMIT);
  }

  /** Batches of an epoch. */
  get batches(): number {
    return Math.ceil(this.options.images.length / this.options.batch);
  }

  /** The batches of an epoch, from `from` on. */
  epoch(
    epoch: number,
    { from = 0, mosaic = true, signal }: EpochOptions = {},
  ): AsyncGenerator<TrainBatch<M>> {
    const { augment, workers } = this.options;
    return pipeline({
      from,
      to: this.batches,
      prefetch: workers === 0 ? 0 : PREFETCH,
      build: (index) => this.build(epoch, index, mosaic ? augment : { ...augment, mosaic: 0, mixup: 0 }),
      signal,
    });
  }

  private async build(epoch: number, index: number, augment: Augmentation): Promise<TrainBatch<M>> {
    const { images, batch, imgsz, channels, allocate } = this.options;
    const first = index * batch;
    const count = Math.min(batch, images.length - first);
    const pictureBytes = imgsz * imgsz * channels;
    const memory = allocate(count * pictureBytes);
    const samples = Array.from({ length: count }, (_, i) =>
      this.gate.run(() => {
        const out = memory.bytes.subarray(i * pictureBytes, (i + 1) * pictureBytes);
        return this.sample(epoch, first + i, augment, out);
      }),
    );
    let labels: Float32Array[];
    try {
      labels = await settleAll(samples);
    } catch (error) {
      memory.release();
      throw error;
    }
    this.decoded.forgetBefore(epoch * images.length + first + count - this.pool);
    return {
      index,
      memory,
      shape: [count, imgsz, imgsz, channels],
      targets: writeTargets(labels),
      paths: Array.from({ length: count }, (_, i) => images[this.order(epoch)[first + i]!]!.path),
    };
  }

  /** Writes one picture and returns its label rows. */
  private async sample(
    epoch: number,
    place: number,
    augment: Augmentation,
    out: Uint8Array,
  ): Promise<Float32Array> {
    const { images, imgsz, channels, seed, pixels } = this.options;
    const position = epoch * images.length + place;
    const sample = this.order(epoch)[place]!;
    const pool = this.poolAt(position);
    const draw = drawSample({ augment, seed, epoch, sample, imgsz, pool });
    const own = this.source(sample, position);
    const partner = (pick: number) => this.partner(position, pick);
    const first = await this.layer(own, draw.layer, partner);
    const layers: [LayerImages] | [LayerImages, LayerImages] = draw.mixup
      ? [first, await this.layer(partner(draw.mixup.partner), draw.mixup.layer, partner)]
      : [first];
    const { job, labels } = trainingPicture(draw, layers, imgsz, channels);
    await pixels.imageWarp(out, job.numbers, job.sources);
    return labels;
  }

  private layer(
    own: Promise<LabelledSource>,
    draw: LayerDraw,
    partner: (pick: number) => Promise<LabelledSource>,
  ): Promise<LayerImages> {
    return Promise.all([own, ...(draw.mosaic?.partners ?? []).map(partner)]);
  }

  /** Samples that partners of the one at `position` are drawn from: itself and those before it. */
  private poolAt(position: number): number {
    return this.options.cacheRam ? this.pool : Math.min(this.pool, position + 1);
  }

  private partner(position: number, pick: number): Promise<LabelledSource> {
    const { images, cacheRam } = this.options;
    if (cacheRam) return this.source(pick, position);
    const earlier = position - pick;
    const epoch = Math.floor(earlier / images.length);
    return this.source(this.order(epoch)[earlier - epoch * images.length]!, earlier);
  }

  private async source(index: number, position: number): Promise<LabelledSource> {
    const source = await this.decoded.get(index, position);
    return { source, labels: this.options.images[index]!.labels };
  }

  /** The order of an epoch; that of the one before is still needed for partners. */
  private order(epoch: number): Uint32Array {
    let order = this.orders.get(epoch);
    if (!order) {
      order = epochOrder(this.options.images.length, this.options.seed, epoch);
      for (const known of this.orders.keys()) {
        if (Math.abs(known - epoch) > 1) this.orders.delete(known);
      }
      this.orders.set(epoch, order);
    }
    return order;
  }
}
