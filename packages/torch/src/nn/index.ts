import { clipGradNorm_, clipGradValue_ } from './clip-grad.ts';
import {
  PackedSequence,
  packPaddedSequence,
  packSequence,
  padPackedSequence,
  padSequence,
  unpackSequence,
} from './packed-sequence.ts';
import { parametersToVector, vectorToParameters } from './parameter-vector.ts';
import { removeWeightNorm, weightNorm } from './weight-norm.ts';

export * from './activation.ts';
export * from './activation-shrink.ts';
export * from './attention.ts';
export * from './bilinear.ts';
export * from './container.ts';
export * from './conv.ts';
export * from './distance.ts';
export * from './dropout.ts';
export * from './embedding-bag.ts';
export * as functional from './functional/index.ts';
export type {
  Forward,
  ForwardHook,
  ForwardHookOptions,
  ForwardPreHook,
  ForwardWrapper,
  FullBackwardHook,
  FullBackwardPreHook,
} from './hooks.ts';
export * as init from './init.ts';
export * from './instance-norm.ts';
export { type FactoryOptions, Layer } from './layer.ts';
export * from './linear.ts';
export {
  BCELoss,
  BCEWithLogitsLoss,
  CrossEntropyLoss,
  CTCLoss,
  HuberLoss,
  KLDivLoss,
  L1Loss,
  MSELoss,
  NLLLoss,
  SmoothL1Loss,
} from './loss.ts';
export * from './margin-loss.ts';
export { Module, type ModuleTarget } from './module.ts';
export {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  type BatchNormLayerOptions,
  GroupNorm,
  type GroupNormOptions,
  LayerNorm,
  type LayerNormOptions,
} from './normalization.ts';
export { PackedSequence } from './packed-sequence.ts';
export * from './padding.ts';
export { Parameter } from './parameter.ts';
export * from './parameter-containers.ts';
export * from './pooling.ts';
export {
  GRU,
  LSTM,
  type LSTMOptions,
  type LSTMState,
  type RecurrentOptions,
  RNN,
  type RNNOptions,
} from './recurrent.ts';
export * from './recurrent-cell.ts';
export * from './resample.ts';
export * from './rms-norm.ts';
export * from './softmax.ts';
export type { LoadReport, StateDict } from './state.ts';
export { SyncBatchNorm, type SyncBatchNormOptions } from './sync-batch-norm.ts';
export * from './transformer.ts';
export * from './transformer-decoder.ts';
export * from './transformer-encoder.ts';
export type { TransformerLayerOptions } from './transformer-layer.ts';

/** torch.nn.utils */
export const utils = {
  clipGradNorm_,
  clipGradValue_,
  parametersToVector,
  removeWeightNorm,
  vectorToParameters,
  weightNorm,
  /** torch.nn.utils.rnn */
  rnn: { PackedSequence, packPaddedSequence, packSequence, padPackedSequence, padSequence, unpackSequence },
};
