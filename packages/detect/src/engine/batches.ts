import { type NativeImage, native } from '@mezzo/libtorch';
import type { Tensor } from '@mezzo/torch';
import { AUGMENTATION_KEYS, type Augmentation } from '../augment/augmentation.ts';
import type { Modality, PairAugmentation } from '../augment/pair-draw.ts';
import type { TrainSettings } from '../config/index.ts';
import type { ImageStore } from '../data/image-store.ts';
import type { Fault } from '../data/inspect-image.ts';
import type { Split } from '../data/scan.ts';
import { type Share, WHOLE } from '../data/shares.ts';
import { TrainLoader } from '../data/train-loader.ts';
import { ValLoader } from '../data/val-loader.ts';
import { BatchMemory, type ImageBlock } from './batch-memory.ts';
import type { DeviceName } from './device.ts';
import { type ImageCache, keepsInMemory } from './image-cache.ts';

export type TrainBatches = TrainLoader<ImageBlock>;
export type ValBatches = ValLoader<ImageBlock>;

interface Source {
  split: Split;
  imgsz: number;
  /** Of the network; 32 unless given. */
  stride?: number;
  channels: number;
  device: DeviceName;
  onSkip: (fault: Fault) => void;
}

/** The images of a loader's batch as a tensor, uint8 [B, C, H, W] in channels_last order. */
export function imagesOf(batch: {
  memory: ImageBlock;
  shape: readonly [number, number, number, number];
}): Tensor {
  const [count, height, width, channels] = batch.shape;
  return batch.memory.images(count, channels, height, width);
}

export interface TrainSource extends Source {
  settings: TrainSettings;
  cache: ImageCache;
  /** Which part of every batch is wanted; all of it unless given. */
  share?: Share;
}

export function openTrainBatches(source: TrainSource): TrainBatches {
  const { settings, split, imgsz, channels, cache, share = WHOLE } = source;
  const augment = Object.fromEntries(AUGMENTATION_KEYS.map((key) => [key, settings[key]])) as Augmentation;
  return new TrainLoader({
    ...common(source),
    images: split.images,
    imgsz,
    channels,
    batch: settings.batch,
    share,
    augment,
    pair: pairAugmentation(split, settings),
    seed: settings.seed,
    workers: settings.workers,
    strict: settings.strict,
    rect: settings.rect,
    multiScale: multiScaleFraction(settings.multi_scale),
    cacheRam: cache.ram,
    cacheDisk: cache.train,
    partners: keepsInMemory(cache.setting) ? 'all' : 'recent',
  });
}

/** What happens to pairs besides; null for pictures of one sensor. */
function pairAugmentation({ images }: Split, settings: TrainSettings): PairAugmentation | null {
  if (images.every(({ infrared }) => infrared === undefined)) return null;
  const { ir_gain: gain, ir_offset: offset, ir_noise: noise, modality_dropout: dropout } = settings;
  return { gain, offset, noise, dropout };
}

/** Yes is YOLOv5's and Ultralytics 8.3's half. */
export function multiScaleFraction(setting: boolean | number): number {
  return typeof setting === 'number' ? setting : setting ? 0.5 : 0;
}

export interface ValSource extends Source {
  batch: number;
  rect: boolean;
  workers: number;
  strict: boolean;
  cacheRam?: boolean;
  cacheDisk?: ImageStore | null;
  /** Of pairs, the sensor to measure without. */
  missing?: Modality | null;
}

export function openValBatches(source: ValSource): ValBatches {
  const {
    split,
    imgsz,
    channels,
    batch,
    rect,
    workers,
    strict,
    cacheRam = false,
    cacheDisk = null,
    missing = null,
  } = source;
  return new ValLoader({
    ...common(source),
    images: split.images,
    imgsz,
    channels,
    batch,
    rect,
    workers,
    strict,
    cacheRam,
    cacheDisk,
    missing,
  });
}

function common({ device, onSkip, stride = 32 }: Source) {
  const memory = new BatchMemory(device);
  return {
    stride,
    allocate: (size: number) => memory.allocate(size),
    pixels: native() as unknown as NativeImage,
    onSkip,
  };
}
