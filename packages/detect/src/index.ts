export { MezzoError } from '@mezzo/libtorch';
export type {
  PredictOptions,
  PredictSettings,
  TrainOptions,
  TrainSettings,
  ValOptions,
  ValSettings,
} from './config/index.ts';
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
export type { DetectionReport } from './engine/report.ts';
export { modelNames } from './models/description.ts';
export type { PredictImage } from './predict/predictor.ts';
export { type Boxes, type Results } from './predict/results.ts';
export { type CallHooks, type Prediction, type PredictSource, YOLO } from './yolo.ts';
