export {
  Activation,
  ELU,
  Identity,
  LeakyReLU,
  PReLU,
  ReLU,
  type ReLUOptions,
  Softmax,
} from './activation-layers.ts';
export { MultiHeadAttention, type MultiHeadAttentionOptions } from './attention.ts';
export { BatchNormalization, type BatchNormalizationOptions } from './batch-normalization.ts';
export { Bidirectional, type BidirectionalOptions } from './bidirectional.ts';
export { Conv1D, Conv2D, type ConvOptions } from './conv.ts';
export { Conv2DTranspose, type Conv2DTransposeOptions } from './conv-transpose.ts';
export { Dense, type KernelOptions } from './dense.ts';
export {
  DepthwiseConv2D,
  type DepthwiseOptions,
  SeparableConv2D,
  type SeparableOptions,
} from './depthwise-conv.ts';
export { Embedding, type EmbeddingOptions } from './embedding.ts';
export { type CallOptions, Layer, type LayerOptions } from './layer.ts';
export { Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract } from './merge.ts';
export { Dropout, GaussianNoise, SpatialDropout2D } from './noise.ts';
export {
  GroupNormalization,
  type GroupNormalizationOptions,
  LayerNormalization,
  type LayerNormalizationOptions,
} from './normalization.ts';
export {
  AveragePooling1D,
  AveragePooling2D,
  GlobalAveragePooling1D,
  GlobalAveragePooling2D,
  GlobalMaxPooling1D,
  GlobalMaxPooling2D,
  type GlobalPoolingOptions,
  MaxPooling1D,
  MaxPooling2D,
  type PoolingOptions,
} from './pooling.ts';
export { GRU, LSTM, type RecurrentOptions, SimpleRNN } from './recurrent.ts';
export { Rescaling } from './rescaling.ts';
export {
  Cropping2D,
  Flatten,
  Permute,
  RepeatVector,
  Reshape,
  UpSampling2D,
  type UpSampling2DOptions,
  ZeroPadding2D,
} from './reshape.ts';
