import type { GradScaler, Tensor } from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import type { DetectionLoss } from '../loss/detection.ts';
import type { DetectionModel } from '../models/build.ts';
import type { MetricRules } from '../metrics/rules.ts';
import type { DeviceName } from './device.ts';
import type { ModelEma } from './ema.ts';
import type { GroupedOptimizer } from './optimizer.ts';
import type { RunPrecision } from './precision.ts';
import type { ScheduleOptions } from './schedule.ts';
import type { TrainStep } from './step.ts';
import type { ValBatch } from './validator.ts';

/** A batch of training images, uint8 [B, 3, S, S] in RGB, and rows (image, class, cx, cy, w, h; relative). */
export interface TrainBatch {
  readonly images: Tensor;
  readonly rows: Float32Array;
  readonly paths: readonly string[];
  /** Gives the batch's memory back. */
  release(): void;
}

/** The training images in the order and with the augmentation of each epoch; the same for any number of workers. */
export interface TrainBatches {
  readonly images: number;
  readonly batches: number;
  /** Batches of `epoch` from number `from` on; `mosaic: false` in the closing epochs. */
  epoch(epoch: number, options: { from: number; mosaic: boolean; signal?: AbortSignal }): AsyncIterable<TrainBatch>;
}

export interface ValBatches {
  readonly images: number;
  readonly batches: number;
  all(options: { signal?: AbortSignal }): AsyncIterable<ValBatch>;
}

/** Everything of a training run that is made before its first step. */
export interface Run {
  readonly settings: TrainSettings;
  readonly saveDir: string;
  readonly device: DeviceName;
  readonly precision: RunPrecision;
  readonly model: DetectionModel;
  readonly ema: ModelEma<DetectionModel>;
  readonly optimizer: GroupedOptimizer;
  readonly scaler: GradScaler;
  readonly loss: DetectionLoss;
  readonly step: TrainStep;
  readonly schedule: ScheduleOptions;
  readonly rules: MetricRules;
  readonly train: TrainBatches;
  readonly val: ValBatches;
  readonly data: { readonly path: string; readonly names: readonly string[] };
  /** Layers whose BatchNorm keeps its statistics because they are frozen. */
  readonly frozen: readonly number[];
}
