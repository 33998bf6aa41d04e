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
