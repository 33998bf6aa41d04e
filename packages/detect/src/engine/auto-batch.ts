import { withinMemory } from '@mezzo/precision';
import { autocast, backends, cuda, forkRng, memory, scope } from '@mezzo/torch';
import { CounterRandom } from '../augment/random.ts';
import type { TrainSettings } from '../config/index.ts';
import type { Split } from '../data/scan.ts';
import type { Criterion } from '../loss/criterion.ts';
import type { DetectionModel } from '../models/build.ts';
import type { HeadMaps } from '../models/decode.ts';
import { syntheticBatch } from '../precision/synthetic-batch.ts';
import { multiScaleFraction } from './batches.ts';
import { type DeviceName, deviceIndex, deviceType } from './device.ts';
import type { TrainEvent } from './event.ts';
import { toInput } from './images.ts';
import { resetPeak, roomForTensors } from './memory-limit.ts';
import { readableSize } from './memory-size.ts';
import type { RunPrecision } from './precision.ts';

/** What `batch=-1` means, as a part of the free memory. */
const DEFAULT_SHARE = 0.6;
/** Batches that are tried: a line needs two points, and a GPU's blocks are coarse. */
const TRIED: Readonly<Record<'cpu' | 'cuda', readonly number[]>> = { cpu: [2, 4, 8], cuda: [4, 8, 16] };
const NEEDED = 2;
/** Once a batch takes so many times the memory of the gradients, a larger one on a CPU only takes longer. */
const PLENTY = 8;
const LARGEST = 1024;
const STRIDE = 32;
const LABEL_COLUMNS = 5;

/** Asks for a batch that is chosen from the memory: -1, or a part of the free memory between 0 and 1. */
export const isAutomatic = (batch: number): boolean => batch === -1 || (batch > 0 && batch < 1);

export interface MemoryOfBatch {
  /** Images of the batch. */
  readonly batch: number;
  /** Bytes that forward, loss and backward took at most, beside what was live before. */
  readonly bytes: number;
}

export interface AutoBatchSubject {
  readonly model: DetectionModel;
  readonly loss: Criterion;
  readonly device: DeviceName;
  readonly precision: RunPrecision;
  /** Layers that train in evaluation mode. */
  readonly frozen: readonly number[];
  /** Side in pixels: the largest, where it varies. */
  readonly imgsz: number;
  /** Boxes of a picture to reckon with; assignment takes memory for each. */
  readonly boxes: number;
  /** No batch is larger than the set. */
  readonly images: number;
}

export interface AutoBatch {
  readonly batch: number;
  /** One line: what was measured and what follows. */
  readonly text: string;
}

/**
 * Chooses a batch that takes a part of the memory that is free: 60 % for -1, else the part that is given. Measured
 * with forward, loss and backward of a copy of the model, in its precision, with its channels and image size, at two
 * or three small batches; memory grows with the batch along a line. The run's random state is as before.
 * @param asked -1, or a part above 0 and below 1
 */
export function autoBatch(asked: number, subject: AutoBatchSubject): AutoBatch {
  const { model, device, imgsz, images } = subject;
  const share = asked === -1 ? DEFAULT_SHARE : asked;
  const free = freeBytes(device);
  const kept = stateBytes(model);
  const measured = measureBatches(subject);
  const what = `${imgsz}x${imgsz}x${model.ch}`;
  const line = lineThrough(measured);
  if (line === null) {
    return {
      batch: 1,
      text: `AutoBatch: batch=1: not even ${TRIED[deviceType(device)][0]} pictures of ${what} fit`,
    };
  }
  const budget = share * free;
  const fits = Math.floor((budget - kept - line.fixed) / line.each);
  const batch = rounded(Math.min(fits, images, LARGEST));
  const trials = measured
    .map((one) => one.batch)
    .join(', ')
    .replace(/, (\d+)$/, ' and $1');
  return {
    batch,
    text:
      `AutoBatch: batch=${batch}${fits > images ? ', as many as the set has,' : ''} takes ` +
      `${readableSize(kept + line.fixed + batch * line.each)} of ${readableSize(budget)} (${Math.round(100 * share)} % of ` +
      `the ${readableSize(free)} that are free): ${readableSize(kept + line.fixed)} and ${perPicture(line.each)} for ` +
      `each picture of ${what} (measured with ${trials})${fits < 1 ? '; that may not suffice' : ''}`,
  };
}

/** The settings of a training with its batch as a number, chosen and told if `batch` asks for that. */
export function withBatch(
  settings: TrainSettings,
  { split, imgsz, ...subject }: Omit<AutoBatchSubject, 'boxes' | 'images'> & { split: Split },
  emit: (event: TrainEvent) => void,
): TrainSettings {
  if (!isAutomatic(settings.batch)) return settings;
  const { batch, text } = autoBatch(settings.batch, { ...subject, ...sizesOf(split, settings, imgsz) });
  emit({ event: 'message', level: 'info', text });
  return Object.freeze({ ...settings, batch });
}

/** What a data set and its recipe make of the memory of a picture: a mosaic has the boxes of four. */
export function sizesOf(
  { images }: Pick<Split, 'images'>,
  { mosaic, multi_scale }: Pick<TrainSettings, 'mosaic' | 'multi_scale'>,
  imgsz: number,
): Pick<AutoBatchSubject, 'boxes' | 'images' | 'imgsz'> {
  const most = images.reduce((count, { labels }) => Math.max(count, labels.length / LABEL_COLUMNS), 1);
  return {
    boxes: most * (mosaic > 0 ? 4 : 1),
    images: images.length,
    imgsz: Math.ceil((imgsz * (1 + multiScaleFraction(multi_scale))) / STRIDE) * STRIDE,
  };
}

/**
 * Bytes by batch: `fixed` + batch · `each`, through the two largest batches, because gradients hide part of what a
 * picture takes in small ones; null without a measurement.
 */
export function lineThrough(points: readonly MemoryOfBatch[]): { fixed: number; each: number } | null {
  const [small, large] = points.length > 1 ? points.slice(-2) : [undefined, points[0]];
  if (large === undefined) return null;
  const through = { fixed: 0, each: large.bytes / large.batch };
  if (small === undefined) return through;
  const each = (large.bytes - small.bytes) / (large.batch - small.batch);
  // Coarse blocks of a GPU may hide the growth: then each picture is reckoned with its whole share.
  return each > 0 ? { fixed: Math.max(0, large.bytes - each * large.batch), each } : through;
}

/** Down to a multiple of 8 from 16 on, which kernels like, to an even number from 4 on; at least 1. */
export function rounded(batch: number): number {
  const step = batch >= 16 ? 8 : batch >= 4 ? 2 : 1;
  return Math.max(1, Math.floor(batch / step) * step);
}

/** Bytes that forward, loss and backward take at each of a few batches; stops where memory does not suffice. */
export function measureBatches(subject: AutoBatchSubject): MemoryOfBatch[] {
  const { device, frozen, model } = subject;
  // Building the copy draws random numbers, which the run must not miss.
  const copy = forkRng(() => model.clone());
  const points: MemoryOfBatch[] = [];
  const gradients = parameterBytes(model);
  const { benchmark } = backends.cudnn;
  // Trying out algorithms takes memory that a training does not keep.
  if (device !== 'cpu') backends.cudnn.benchmark = false;
  try {
    copy.train();
    for (const layer of frozen) copy.model.at(layer).eval();
    for (const batch of TRIED[deviceType(device)]) {
      const bytes = withinMemory(device, () => peakOf(device, () => pass(subject, copy, batch)));
      copy.zeroGrad();
      if (bytes === null) break;
      points.push({ batch, bytes });
      if (device === 'cpu' && points.length >= NEEDED && bytes > PLENTY * gradients) break;
    }
    return points;
  } finally {
    for (const tensor of [...copy.parameters(), ...copy.buffers()]) tensor.dispose();
    if (device !== 'cpu') {
      backends.cudnn.benchmark = benchmark;
      cuda.emptyCache(device);
    }
  }
}

function pass(
  { loss, device, precision, imgsz, boxes }: AutoBatchSubject,
  model: DetectionModel,
  batch: number,
) {
  const region = { device: deviceType(device), dtype: precision.dtype, enabled: precision.enabled } as const;
  scope(() => {
    const { images } = syntheticBatch(batch, model.ch, imgsz, model.nc);
    const input = toInput(images, device, precision);
    const maps = autocast(region, () => model.forward(input)) as HeadMaps;
    loss.forward(maps, rowsFor(batch, boxes, model.nc)).total.backward();
  });
}

/** Boxes of all sizes on each picture. */
function rowsFor(batch: number, boxes: number, classes: number): Float32Array {
  const rows = Array.from({ length: batch }, (_, picture) => {
    const random = new CounterRandom(0, 'shapes', 0, picture);
    return Array.from({ length: boxes }, (_box, index) => {
      const [width, height] = [random.between(0.05, 0.5), random.between(0.05, 0.5)];
      const [x, y] = [random.between(width / 2, 1 - width / 2), random.between(height / 2, 1 - height / 2)];
      return [picture, index % classes, x, y, width, height];
    });
  });
  return Float32Array.from(rows.flat(2));
}

/** Most bytes that `work` held at once, beside those that were live before. HOST SYNC on a GPU. */
function peakOf(device: DeviceName, work: () => void): number {
  if (device === 'cpu') {
    resetPeak();
    const before = memory.stats().liveBytes;
    work();
    return memory.stats().peakBytes - before;
  }
  const index = deviceIndex(device);
  cuda.emptyCache(index);
  cuda.resetPeakMemoryStats(index);
  const before = cuda.memoryReserved(index);
  work();
  cuda.synchronize(index);
  return cuda.maxMemoryReserved(index) - before;
}

function freeBytes(device: DeviceName): number {
  if (device === 'cpu') return Math.max(0, roomForTensors() - memory.stats().liveBytes);
  cuda.emptyCache(device);
  return cuda.memGetInfo(device)[0];
}

/** What training keeps beside the weights: the average and two moments of the optimizer. Gradients are measured. */
const stateBytes = (model: DetectionModel): number => 3 * parameterBytes(model);

const parameterBytes = (model: DetectionModel): number =>
  model.parameters().reduce((sum, parameter) => sum + parameter.numel() * 4, 0);

/** Pictures may be small. */
const perPicture = (bytes: number): string =>
  bytes < 10 * 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(2)} MiB` : readableSize(bytes);
