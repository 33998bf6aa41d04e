/** Training batches: decoded, augmented and written into batch memory off the JavaScript thread. */
import type { NativeImage } from '@mezzo/libtorch';
import { type Augmentation, WITHOUT_JOINING } from '../augment/augmentation.ts';
import { drawSample, type LayerDraw } from '../augment/draw.ts';
import type { Size } from '../augment/geometry.ts';
import { scaledSize } from '../augment/multi-scale.ts';
import type { PairAugmentation } from '../augment/pair-draw.ts';
import {
  type LabelledSource,
  type LayerImages,
  type PictureShape,
  trainingPicture,
} from '../augment/plan.ts';
import { epochOrder } from '../augment/random.ts';
import { Gate, picturesInFlight, settleAll } from './concurrent.ts';
import { DecodedImages } from './decoded-images.ts';
import type { Allocate, ImageMemory } from './image-memory.ts';
import type { ImageStore } from './image-store.ts';
import type { Fault } from './inspect-image.ts';
import { pipeline } from './pipeline.ts';
import { type RectBatches, rectBatches } from './rect.ts';
import type { LabelledImage } from './scan.ts';
import { batchesOf, partOf, type Share, WHOLE } from './shares.ts';
import { writeTargets } from './targets.ts';

export interface TrainLoaderOptions<M extends ImageMemory> {
  images: readonly LabelledImage[];
  imgsz: number;
  /** Pictures of a batch, on all processes that share it. */
  batch: number;
  /** Of every batch this process prepares its part. */
  share?: Share;
  /** Channels of the pictures: 3 (RGB), 1 (luma), or as many as the images have. */
  channels: number;
  augment: Augmentation;
  /** The images are pairs, and this happens to them besides. */
  pair?: PairAugmentation | null;
  /**
   * Images of like proportions share a batch, whose pictures are only as large as they need: always in the same order,
   * and without mosaic, mixup and cutmix.
   */
  rect?: boolean;
  /** The network sees each batch at a size of its own, `imgsz` ± this part. */
  multiScale?: number;
  /** What the sides that the network sees are multiples of. */
  stride?: number;
  seed: number;
  /** Pictures prepared at a time, at most two for each core; 0 prepares nothing ahead. */
  workers: number;
  /** Keep every decoded image in memory. */
  cacheRam?: boolean;
  /** Where decoded images are kept from run to run. */
  cacheDisk?: ImageStore | null;
  /** Joined images come from the samples just before, which are decoded already, or from the whole set. */
  partners?: 'recent' | 'all';
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
  /** Pictures of the batch on all processes that share it. */
  whole: number;
  /** The size to which the network's input is scaled; that of the pictures without `multiScale`. */
  input: Size;
  /** Rows `picture class cx cy w h`, normalised to the picture. */
  targets: Float32Array;
  /** File of each picture (the first tile of a mosaic). */
  paths: string[];
}

export interface EpochOptions {
  /** First batch: a resumed epoch starts in its middle. */
  from?: number;
  /** Mosaic, mixup and cutmix may be switched off for the last epochs (`close_mosaic`). */
  mosaic?: boolean;
  signal?: AbortSignal;
}

// Mosaic partners come from so many of the most recent samples.
const POOL_BATCHES = 8;
const POOL_LIMIT = 1000;
const PREFETCH = 2;
const STRIDE = 32;

/**
 * A batch is a pure function of the options, the epoch and its index: the number of workers, the memory and the
 * place where a run was resumed change nothing in it, nor does the number of processes that share it. Every epoch visits all images in an order of its own; the
 * last batch may be smaller.
 */
export class TrainLoader<M extends ImageMemory> {
  private readonly options: TrainLoaderOptions<M>;
  private readonly decoded: DecodedImages;
  private readonly gate: Gate;
  private readonly pool: number;
  private readonly augment: Augmentation;
  private readonly rect: RectBatches | null;
  private readonly share: Share;
  private readonly orders = new Map<number, Uint32Array>();

  constructor(options: TrainLoaderOptions<M>) {
    const { images, imgsz, channels, pixels, batch, workers, augment, strict = false, onSkip } = options;
    const { rect = false, cacheRam: keepAll = false, cacheDisk: store = null, partners = 'recent' } = options;
    const { stride = STRIDE, share = WHOLE } = options;
    this.options = options;
    this.decoded = new DecodedImages({ images, channels, pixels, imgsz, keepAll, store, strict, onSkip });
    this.gate = new Gate(picturesInFlight(workers));
    this.pool =
      partners === 'all' ? images.length : Math.min(images.length, POOL_BATCHES * batch, POOL_LIMIT);
    this.augment = rect ? { ...augment, ...WITHOUT_JOINING } : augment;
    this.share = share;
    const { batches } = this;
    this.rect = rect ? rectBatches(images, { imgsz, batch, stride, pad: 0, batches }) : null;
  }

  /** Batches of an epoch. */
  get batches(): number {
    return batchesOf(this.options.images.length, this.options.batch, this.share);
  }

  /** The batches of an epoch, from `from` on. */
  epoch(
    epoch: number,
    { from = 0, mosaic = true, signal }: EpochOptions = {},
  ): AsyncGenerator<TrainBatch<M>> {
    const { workers } = this.options;
    const augment = mosaic ? this.augment : { ...this.augment, ...WITHOUT_JOINING };
    return pipeline({
      from,
      to: this.batches,
      prefetch: workers === 0 ? 0 : PREFETCH,
      build: (index) => this.build(epoch, index, augment),
      signal,
    });
  }

  private async build(epoch: number, index: number, augment: Augmentation): Promise<TrainBatch<M>> {
    const { images, batch, imgsz, channels, allocate, seed, multiScale: fraction = 0 } = this.options;
    const { stride = STRIDE } = this.options;
    const output = this.rect?.shapes[index] ?? { width: imgsz, height: imgsz };
    const { first, count, whole } = partOf(index, images.length, batch, this.share);
    const pictureBytes = output.width * output.height * channels;
    const memory = allocate(count * pictureBytes);
    const samples = Array.from({ length: count }, (_, i) =>
      this.gate.run(() => {
        const out = memory.bytes.subarray(i * pictureBytes, (i + 1) * pictureBytes);
        return this.sample(epoch, first + i, augment, { imgsz, output, channels }, out);
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
      shape: [count, output.height, output.width, channels],
      whole,
      input: scaledSize(output, { fraction, imgsz, stride, seed }, epoch, index),
      targets: writeTargets(labels),
      paths: Array.from({ length: count }, (_, i) => images[this.order(epoch)[first + i]!]!.path),
    };
  }

  /** Writes one picture and returns its label rows. */
  private async sample(
    epoch: number,
    place: number,
    augment: Augmentation,
    shape: PictureShape,
    out: Uint8Array,
  ): Promise<Float32Array> {
    const { images, imgsz, seed, pixels, pair = null } = this.options;
    const position = epoch * images.length + place;
    const sample = this.order(epoch)[place]!;
    const pool = this.poolAt(position);
    const draw = drawSample({ augment, seed, epoch, sample, imgsz, pool, pair });
    const own = this.source(sample, position);
    const partner = (pick: number) => this.partner(position, pick);
    const joined = async (other: { partner: number; layer: LayerDraw } | null) =>
      other === null ? undefined : this.layer(partner(other.partner), other.layer, partner);
    const [first, mixup, cutmix] = await settleAll([
      this.layer(own, draw.layer, partner),
      joined(draw.mixup),
      joined(draw.cutmix),
    ]);
    const layers = { own: first!, ...(mixup ? { mixup } : {}), ...(cutmix ? { cutmix } : {}) };
    const { job, labels } = trainingPicture(draw, layers, shape);
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
    return this.options.partners === 'all' ? this.pool : Math.min(this.pool, position + 1);
  }

  private partner(position: number, pick: number): Promise<LabelledSource> {
    const { images, partners } = this.options;
    if (partners === 'all') return this.source(pick, position);
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
    if (this.rect) return this.rect.order;
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
