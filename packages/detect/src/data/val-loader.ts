/** Validation batches: letterboxed pictures in a fixed order, without any augmentation. */
import type { NativeImage } from '@mezzo/libtorch';
import { fitLongSide, letterbox, type Size } from '../augment/geometry.ts';
import type { Modality } from '../augment/pair-draw.ts';
import { letterboxJob } from '../augment/warp-job.ts';
import { Gate, picturesInFlight, settleAll } from './concurrent.ts';
import { DecodedImages } from './decoded-images.ts';
import type { Allocate, ImageMemory } from './image-memory.ts';
import type { ImageStore } from './image-store.ts';
import type { Fault } from './inspect-image.ts';
import { silence } from './pairs/silence.ts';
import { pipeline } from './pipeline.ts';
import { rectBatches } from './rect.ts';
import type { LabelledImage } from './scan.ts';
import { writeTargets } from './targets.ts';

export interface ValLoaderOptions<M extends ImageMemory> {
  images: readonly LabelledImage[];
  imgsz: number;
  batch: number;
  channels: number;
  /** Images of like proportions share a batch, whose pictures are only as large as they need. */
  rect: boolean;
  /** Multiple that the sides of rect pictures are rounded up to. */
  stride?: number;
  /** Added before that rounding, in strides. */
  pad?: number;
  workers: number;
  /** Keep every decoded image in memory. */
  cacheRam?: boolean;
  /** Where decoded images are kept from run to run. */
  cacheDisk?: ImageStore | null;
  strict?: boolean;
  /** The images are pairs, and this sensor's picture is missing from each: all its channels are 0. */
  missing?: Modality | null;
  allocate: Allocate<M>;
  pixels: NativeImage;
  onSkip?: (fault: Fault) => void;
}

/** Where an image lies in its picture, to bring boxes back: original = (picture - pad) / gain. */
export interface Placement {
  gain: [x: number, y: number];
  pad: [left: number, top: number];
}

export interface ValImage {
  path: string;
  /** Size of the original, upright. */
  width: number;
  height: number;
  /** Rows `class cx cy w h`, normalised to the original. */
  labels: Float32Array;
  placement: Placement;
}

export interface ValBatch<M extends ImageMemory> {
  index: number;
  /** Holds the pictures as uint8 [B, H, W, C]; the consumer releases it. */
  memory: M;
  shape: [pictures: number, height: number, width: number, channels: number];
  /** Rows `picture class cx cy w h`, normalised to the picture. */
  targets: Float32Array;
  images: ValImage[];
}

const PREFETCH = 2;

export class ValLoader<M extends ImageMemory> {
  private readonly options: ValLoaderOptions<M>;
  private readonly decoded: DecodedImages;
  private readonly gate: Gate;
  /** Image indices in the order of the batches. */
  private readonly order: Uint32Array;
  private readonly shapes: Size[];

  constructor(options: ValLoaderOptions<M>) {
    const { images, imgsz, batch, channels, pixels, workers, rect, strict = false, onSkip } = options;
    const { cacheRam: keepAll = false, cacheDisk: store = null } = options;
    this.options = options;
    this.decoded = new DecodedImages({ images, channels, pixels, imgsz: 0, keepAll, store, strict, onSkip });
    this.gate = new Gate(picturesInFlight(workers));
    const { stride = 32, pad = 0.5 } = options;
    const square = { width: imgsz, height: imgsz };
    const { order, shapes } = rect
      ? rectBatches(images, { imgsz, batch, stride, pad })
      : {
          order: Uint32Array.from(images.keys()),
          shapes: Array.from({ length: Math.ceil(images.length / batch) }, () => square),
        };
    this.order = order;
    this.shapes = shapes;
  }

  get batches(): number {
    return this.shapes.length;
  }

  /** All batches, in order. */
  run({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<ValBatch<M>> {
    const prefetch = this.options.workers === 0 ? 0 : PREFETCH;
    return pipeline({ from: 0, to: this.batches, prefetch, build: (index) => this.build(index), signal });
  }

  private async build(index: number): Promise<ValBatch<M>> {
    const { images, batch, channels, allocate, missing = null } = this.options;
    const { width, height } = this.shapes[index]!;
    const members = Array.from(this.order.subarray(index * batch, (index + 1) * batch));
    const pictureBytes = width * height * channels;
    const memory = allocate(members.length * pictureBytes);
    const pictures = members.map((member, i) =>
      this.gate.run(async () => {
        const out = memory.bytes.subarray(i * pictureBytes, (i + 1) * pictureBytes);
        const image = await this.picture(images[member]!, member, { width, height }, out);
        if (missing !== null) silence(out, channels, missing);
        return image;
      }),
    );
    let placed: ValImage[];
    try {
      placed = await settleAll(pictures);
    } catch (error) {
      memory.release();
      throw error;
    }
    // Without `cacheRam` nothing is needed again before the next pass.
    this.decoded.forgetBefore(Number.POSITIVE_INFINITY);
    return {
      index,
      memory,
      shape: [members.length, height, width, channels],
      targets: writeTargets(placed.map((image) => placedLabels(image, { width, height }))),
      images: placed,
    };
  }

  private async picture(
    image: LabelledImage,
    index: number,
    shape: Size,
    out: Uint8Array,
  ): Promise<ValImage> {
    const { imgsz, channels, pixels } = this.options;
    const source = await this.decoded.get(index, 0);
    const size = source ?? image;
    // As in training the long side becomes imgsz first; the letterbox then only pads.
    const scaled = fitLongSide(size, imgsz);
    const box = letterbox(scaled, shape, { scaleUp: false });
    if (source) await pixels.imageLetterbox(out, letterboxJob(source, box, shape, channels), source.pixels);
    else out.fill(114);
    const { path, labels } = image;
    const { width, height } = size;
    const placement: Placement = {
      gain: [box.width / width, box.height / height],
      pad: [box.left, box.top],
    };
    // Nothing can be found in an image that does not decode, so nothing is asked for.
    return { path, width, height, labels: source ? labels : new Float32Array(0), placement };
  }
}

/** Labels of an image in the coordinates of its picture. */
function placedLabels({ labels, width, height, placement }: ValImage, shape: Size): Float32Array {
  const placed = Float32Array.from(labels);
  const { gain, pad } = placement;
  for (let i = 0; i < placed.length; i += 5) {
    placed[i + 1] = (labels[i + 1]! * width * gain[0] + pad[0]) / shape.width;
    placed[i + 2] = (labels[i + 2]! * height * gain[1] + pad[1]) / shape.height;
    placed[i + 3] = (labels[i + 3]! * width * gain[0]) / shape.width;
    placed[i + 4] = (labels[i + 4]! * height * gain[1]) / shape.height;
  }
  return placed;
}
