export { MezzoError } from '@mezzo/libtorch';
export { type AnchorTargets, MaxIouAssigner, type MaxIouOptions } from './assign/max-iou.ts';
export { TaskAlignedAssigner } from './assign/task-aligned.ts';
export { AUGMENTATION_DEFAULTS, AUGMENTATION_KEYS, type Augmentation } from './augment/augmentation.ts';
export { PAIR_AUGMENTATION_DEFAULTS, type PairAugmentation } from './augment/pair-draw.ts';
export type {
  ExportOptions,
  ExportSettings,
  PredictOptions,
  PredictSettings,
  TrainOptions,
  TrainSettings,
  ValOptions,
  ValSettings,
} from './config/index.ts';
export { type DataSet, type DataYamlOptions, readDataYaml } from './data/data-yaml.ts';
export { type Allocate, type ImageMemory, plainMemory } from './data/image-memory.ts';
export { convertLlvipToYolo } from './data/pairs/convert-llvip.ts';
export {
  modalityOf,
  type Pair,
  type PairProblem,
  type PairReport,
  type PairSplit,
  pairWarnings,
  scanPairs,
} from './data/pairs/scan-pairs.ts';
export { type LabelledImage, type ScanOptions, type ScanReport, type Split, scanSplit } from './data/scan.ts';
export {
  convertCocoToYolo,
  convertVocToYolo,
  type ToYoloOptions,
  type WrittenDataSet,
} from './data/to-yolo.ts';
export { type TrainBatch, TrainLoader, type TrainLoaderOptions } from './data/train-loader.ts';
export { type ValBatch, type ValImage, ValLoader, type ValLoaderOptions } from './data/val-loader.ts';
export { FIGURE_NAMES, type FigureName } from './datasets/figures.ts';
export type { NightLayoutName } from './datasets/night/layout.ts';
export type { NightPresetName } from './datasets/night/presets.ts';
export { generateNight, type NightOptions, type NightSet } from './datasets/night.ts';
export { drawPicture, type Picture } from './datasets/picture.ts';
export { generateShapes, type ShapesOptions, type ShapesSet } from './datasets/shapes.ts';
export { BatchMemory } from './engine/batch-memory.ts';
export { type DeviceName, selectDevice } from './engine/device.ts';
export { ModelEma } from './engine/ema.ts';
export type {
  AdviceEvent,
  AutopsyEvent,
  ClassResult,
  DoneEvent,
  EpochEvent,
  ErrorEvent,
  Losses,
  MessageEvent,
  RecoveryEvent,
  SkipEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
  TrainLine,
  ValStepEvent,
  ValSummary,
} from './engine/event.ts';
export { NonFiniteError } from './engine/non-finite.ts';
export { observersOf } from './engine/observers.ts';
export { buildOptimizer, type GroupedOptimizer } from './engine/optimizer.ts';
export { OutOfMemoryError } from './engine/out-of-memory.ts';
export type { PhaseSeconds } from './engine/phase-times.ts';
export { choosePrecision, type RunPrecision } from './engine/precision.ts';
export type { DetectionReport } from './engine/report.ts';
export type { FollowedRun } from './engine/run.ts';
export type { MachineUse } from './engine/run-monitor.ts';
export { type StepParts, TrainStep } from './engine/step.ts';
export { WindowFollower } from './engine/window-follower.ts';
export type { WindowContext, WindowObserver } from './engine/window-observer.ts';
export type { ExportReport, HalfReport, OnnxTolerance, Verification } from './export/index.ts';
export {
  exportFormat,
  type OnnxModel,
  type OnnxOptions,
  onnxModel,
  type SuppressionOptions,
} from './export/index.ts';
export {
  chosenFusion,
  FUSION_BLOCKS,
  FUSIONS,
  type Fusion,
  type FusionBlocks,
  type FusionOptions,
  fusionFile,
  fusionModel,
} from './fusion/fusion-model.ts';
export { streamOf } from './fusion/streams.ts';
export { type SingleStream, transferIntoStreams } from './fusion/transfer.ts';
export type { Criterion, LossResult } from './loss/criterion.ts';
export { DetectionLoss } from './loss/detection.ts';
export { type FocalOptions, sigmoidFocalLoss } from './loss/focal.ts';
export { boxIouMatrix, type IouKind, type IouOptions, pairwiseIou } from './loss/iou.ts';
export { lossOf } from './loss/loss-of.ts';
export { cocoStats } from './metrics/coco.ts';
export { DetectionMetrics, type DetectionResult } from './metrics/detection.ts';
export type { Detections, Targets } from './metrics/detections.ts';
export {
  type NmsDetections,
  type NmsOptions,
  nms,
  nonMaxSuppression,
  PREDICTION_NMS,
  VALIDATION_NMS,
} from './metrics/nms.ts';
export { type Level, levelsOf } from './models/anchors.ts';
export { Bottleneck, Conv, type ConvOptions, SPPF, Upsample } from './models/blocks.ts';
export { decodeBoxes, encodeBoxes } from './models/box-deltas.ts';
export { buildModel, type DetectionModel } from './models/build.ts';
export { C2f, C3, C3k2 } from './models/cross-stage.ts';
export { joinLevels } from './models/decode.ts';
export { modelNames, resolveModel } from './models/description.ts';
export { profileModel } from './models/profile.ts';
export { type PyramidAnchorOptions, pyramidAnchors } from './models/pyramid-anchors.ts';
export { transferWeights } from './models/transfer.ts';
export {
  type CheckedPrecision,
  checkBeforeTraining,
  type TrainingToCheck,
} from './precision/check-before-training.ts';
export type { DetectorReport } from './precision/check-detector.ts';
export { Islands } from './precision/islands.ts';
export type { ModalityRanges, PixelRange, StreamRange } from './precision/modality-ranges.ts';
export { type CheckBatch, type DetectorParts, detectorSubject } from './precision/preflight.ts';
export { syntheticBatch } from './precision/synthetic-batch.ts';
export type { ImagePair } from './predict/pair-image.ts';
export type { PredictImage } from './predict/predictor.ts';
export type { Boxes, Results } from './predict/results.ts';
export { joinRanks, leaveRanks, type Place } from './ranks/join.ts';
export { requireShareable } from './ranks/requirements.ts';
export { type ConvertedWeights, convertPtToSafetensors, convertSafetensorsToPt } from './weights/convert.ts';
export { readTorchCheckpoint } from './weights/torch-checkpoint.ts';
export { type CallHooks, type Prediction, type PredictSource, YOLO } from './yolo.ts';
