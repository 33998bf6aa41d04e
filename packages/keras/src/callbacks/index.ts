export { Callback, LambdaCallback, type Logs } from './callback.ts';
export { EarlyStopping, type EarlyStoppingOptions } from './early-stopping.ts';
export { CSVLogger, TensorBoard, type TensorBoardOptions } from './files.ts';
export { LearningRateScheduler, ReduceLROnPlateau, type ReduceLROnPlateauOptions } from './learning-rate.ts';
export { ModelCheckpoint, type ModelCheckpointOptions } from './model-checkpoint.ts';
export { TerminateOnNaN } from './terminate-on-nan.ts';
