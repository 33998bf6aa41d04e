export { MezzoError } from '@mezzo/libtorch';
export { TaskAlignedAssigner } from './assign/task-aligned.ts';
export { AUGMENTATION_DEFAULTS, AUGMENTATION_KEYS, type Augmentation } from './augment/augmentation.ts';
export type {
  PredictOptions,
  PredictSettings,
  TrainOptions,
  TrainSettings,
  ValOptions,
  ValSettings,
} from './config/index.ts';
export { type DataSet, type DataYamlOptions, readDataYaml } from './data/data-yaml.ts';
export { type Allocate, type ImageMemory, plainMemory } from './data/image-memory.ts';
export { type LabelledImage, type ScanOptions, type ScanReport, type Split, scanSplit } from './data/scan.ts';
export { type TrainBatch, TrainLoader, type TrainLoaderOptions } from './data/train-loader.ts';
export { type ValBatch, type ValImage, ValLoader, type ValLoaderOptions } from './data/val-loader.ts';
export { generateShapes, type ShapesOptions, type ShapesSet } from './datasets/shapes.ts';
export { ModelEma } from './engine/ema.ts';
export type {
  ClassResult,
  DoneEvent,
  EpochEvent,
  ErrorEvent,
  Losses,
  MessageEvent,
  SkipEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
  TrainLine,
  ValStepEvent,
  ValSummary,
} from './engine/event.ts';
export { buildOptimizer, type GroupedOptimizer } from './engine/optimizer.ts';
export { choosePrecision, type RunPrecision } from './engine/precision.ts';
export type { DetectionReport } from './engine/report.ts';
export { TrainStep } from './engine/step.ts';
export { DetectionLoss } from './loss/detection.ts';
export { cocoStats } from './metrics/coco.ts';
export { DetectionMetrics, type DetectionResult } from './metrics/detection.ts';
export { buildModel, type DetectionModel } from './models/build.ts';
export { modelNames, resolveModel } from './models/description.ts';
export { profileModel } from './models/profile.ts';
export { transferWeights } from './models/transfer.ts';
export type { PredictImage } from './predict/predictor.ts';
export type { Boxes, Results } from './predict/results.ts';
export { type CallHooks, type Prediction, type PredictSource, YOLO } from './yolo.ts';
