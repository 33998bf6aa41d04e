import type { GradScaler } from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import type { LabelledImage } from '../data/scan.ts';
import type { Criterion } from '../loss/criterion.ts';
import type { MetricRules } from '../metrics/rules.ts';
import type { DetectionModel } from '../models/build.ts';
import type { Islands } from '../precision/islands.ts';
import type { PlannedPrecision } from '../precision/plan.ts';
import type { Ranks } from '../ranks/ranks.ts';
import type { TrainBatches, ValBatches } from './batches.ts';
import type { DeviceName } from './device.ts';
import type { ModelEma } from './ema.ts';
import type { GroupedOptimizer } from './optimizer.ts';
import type { RunPrecision } from './precision.ts';
import type { ScheduleOptions } from './schedule.ts';
import type { TrainStep } from './step.ts';

/** Everything of a training run that is made before its first step. */
export interface Run {
  readonly settings: TrainSettings;
  readonly saveDir: string;
  /** With whom it is shared. */
  readonly ranks: Ranks;
  readonly device: DeviceName;
  readonly precision: RunPrecision;
  /** The precision and the plan that the run began with. */
  readonly planned: PlannedPrecision;
  /** The plan at work. */
  readonly islands: Islands;
  readonly model: DetectionModel;
  readonly ema: ModelEma<DetectionModel>;
  readonly optimizer: GroupedOptimizer;
  readonly scaler: GradScaler;
  readonly loss: Criterion;
  readonly step: TrainStep;
  readonly schedule: ScheduleOptions;
  readonly rules: MetricRules;
  readonly train: TrainBatches;
  readonly val: ValBatches;
  /** The training images with their labels. */
  readonly labelled: readonly LabelledImage[];
  /** Images of each split. */
  readonly images: { readonly train: number; readonly val: number };
  readonly data: { readonly path: string; readonly names: readonly string[] };
  /** How often it went back to a checkpoint. */
  readonly rollbacks: number;
  /** Side of the training images in pixels. */
  readonly imgsz: number;
  /** Layers whose BatchNorm keeps its statistics because they are frozen. */
  readonly frozen: readonly number[];
}

/** What those who follow a run window by window look at. */
export type FollowedRun = Pick<
  Run,
  | 'settings'
  | 'saveDir'
  | 'device'
  | 'precision'
  | 'model'
  | 'optimizer'
  | 'scaler'
  | 'loss'
  | 'step'
  | 'islands'
>;
