import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { manualSeed, nn, scope } from '../src/index.ts';
import { assertClose, load, loadIntegers, type SavedTensor } from './assert-close.ts';
import { fixture } from './fixture.ts';

interface LayerCase {
  repr: string;
  state: Record<string, SavedTensor>;
  input: SavedTensor;
  output: SavedTensor;
  grads: Record<string, SavedTensor>;
  inputGrad?: SavedTensor;
  evalOutput: SavedTensor;
}

const golden = fixture<{ layers: Record<string, LayerCase> }>('nn.json');

/** The layers of the fixture, made the same way. */
const LAYERS: Record<string, () => nn.Layer> = {
  Conv1d: () => new nn.Conv1d(2, 3, 3, { padding: 1 }),
  Conv2d: () => new nn.Conv2d(4, 6, 3, { stride: 2, padding: 1, groups: 2 }),
  Conv2dNoBias: () => new nn.Conv2d(2, 2, [1, 3], { dilation: [1, 2], bias: false }),
  Conv2dSame: () => new nn.Conv2d(2, 3, 4, { padding: 'same' }),
  Conv2dReflect: () => new nn.Conv2d(2, 3, 3, { padding: 1, paddingMode: 'reflect' }),
  Conv3d: () => new nn.Conv3d(1, 2, 2),
  ConvTranspose1d: () => new nn.ConvTranspose1d(2, 3, 2, { stride: 2 }),
  ConvTranspose2d: () => new nn.ConvTranspose2d(4, 2, 3, { stride: 2, padding: 1, outputPadding: 1 }),
  Linear: () => new nn.Linear(5, 3),
  LinearNoBias: () => new nn.Linear(5, 3, { bias: false }),
  BatchNorm1d: () => new nn.BatchNorm1d(3),
  BatchNorm2d: () => new nn.BatchNorm2d(3, { eps: 1e-3, momentum: 0.03 }),
  BatchNorm2dCumulative: () => new nn.BatchNorm2d(3, { momentum: null, affine: false }),
  BatchNorm2dUntracked: () => new nn.BatchNorm2d(3, { trackRunningStats: false }),
  BatchNorm3d: () => new nn.BatchNorm3d(2),
  LayerNorm: () => new nn.LayerNorm(6),
  GroupNorm: () => new nn.GroupNorm(2, 4),
  Embedding: () => new nn.Embedding(7, 3, { paddingIdx: 2 }),
  SiLU: () => new nn.SiLU(),
  SiLUInplace: () =>
    new nn.Sequential(
      new nn.Identity(),
      new nn.Flatten(0),
      new nn.Unflatten(0, [3, 4]),
      new nn.Linear(4, 4),
      new nn.SiLU({ inplace: true }),
      new nn.LogSoftmax(1),
    ),
  ReLU: () => new nn.ReLU(),
  ReLU6: () => new nn.ReLU6(),
  LeakyReLU: () => new nn.LeakyReLU(0.1),
  ELU: () => new nn.ELU(),
  SELU: () => new nn.SELU(),
  GELU: () => new nn.GELU(),
  GELUTanh: () => new nn.GELU({ approximate: 'tanh' }),
  Mish: () => new nn.Mish(),
  Hardswish: () => new nn.Hardswish(),
  Hardsigmoid: () => new nn.Hardsigmoid(),
  Sigmoid: () => new nn.Sigmoid(),
  Tanh: () => new nn.Tanh(),
  Softplus: () => new nn.Softplus(),
  PReLU: () => new nn.PReLU(4),
  Softmax: () => new nn.Softmax(1),
  MaxPool2d: () => new nn.MaxPool2d(5, { stride: 1, padding: 2 }),
  AvgPool2d: () => new nn.AvgPool2d(2),
  AdaptiveAvgPool2d: () => new nn.AdaptiveAvgPool2d([1, 2]),
  AdaptiveMaxPool2d: () => new nn.AdaptiveMaxPool2d(2),
  Upsample: () => new nn.Upsample({ scaleFactor: 2 }),
  UpsampleBilinear: () => new nn.Upsample({ size: [5, 4], mode: 'bilinear' }),
  UpsampleCorners: () => new nn.Upsample({ scaleFactor: 2, mode: 'bilinear', alignCorners: true }),
  ZeroPad2d: () => new nn.ZeroPad2d([1, 2, 0, 1]),
  ConvTranspose3d: () => new nn.ConvTranspose3d(2, 1, 2, { stride: 2 }),
  InstanceNorm1d: () => new nn.InstanceNorm1d(3),
  InstanceNorm2d: () => new nn.InstanceNorm2d(2, { affine: true, trackRunningStats: true }),
  InstanceNorm3dUnbatched: () => new nn.InstanceNorm3d(2, { eps: 1e-3 }),
  RMSNorm: () => new nn.RMSNorm(5),
  RMSNormEps: () => new nn.RMSNorm([2, 3], { eps: 1e-4, elementwiseAffine: false }),
  LocalResponseNorm: () => new nn.LocalResponseNorm(3, { alpha: 0.1 }),
  LocalResponseNorm2d: () => new nn.LocalResponseNorm(2, { k: 2 }),
  MaxPool1d: () => new nn.MaxPool1d(3, { stride: 2, padding: 1 }),
  MaxPool3d: () => new nn.MaxPool3d([1, 2, 2]),
  AvgPool1d: () => new nn.AvgPool1d(2),
  AvgPool3d: () => new nn.AvgPool3d(2, { stride: 1 }),
  AdaptiveAvgPool1d: () => new nn.AdaptiveAvgPool1d(3),
  AdaptiveAvgPool3d: () => new nn.AdaptiveAvgPool3d([1, 2, 2]),
  AdaptiveMaxPool1d: () => new nn.AdaptiveMaxPool1d(2),
  AdaptiveMaxPool3d: () => new nn.AdaptiveMaxPool3d(1),
  Dropout1d: () => new nn.Dropout1d(0.5),
  Dropout3dUnbatched: () => new nn.Dropout3d(0.5),
  AlphaDropout: () => new nn.AlphaDropout(0.4),
  FeatureAlphaDropout: () => new nn.FeatureAlphaDropout(0.4),
  GLU: () => new nn.GLU(1),
  Hardtanh: () => new nn.Hardtanh(-0.5, 0.5),
  Hardshrink: () => new nn.Hardshrink(0.4),
  Softshrink: () => new nn.Softshrink(0.4),
  Tanhshrink: () => new nn.Tanhshrink(),
  Threshold: () => new nn.Threshold(0.1, 20),
  CELU: () => new nn.CELU(0.5),
  RReLU: () => new nn.RReLU(0.1, 0.3),
  LogSigmoid: () => new nn.LogSigmoid(),
  Softsign: () => new nn.Softsign(),
  Softmin: () => new nn.Softmin(1),
  Softmax2d: () => new nn.Softmax2d(),
  ReflectionPad1d: () => new nn.ReflectionPad1d(2),
  ReplicationPad2d: () => new nn.ReplicationPad2d([1, 0, 2, 1]),
  CircularPad3d: () => new nn.CircularPad3d(1),
  ConstantPad2d: () => new nn.ConstantPad2d(1, 3.5),
  Unfold: () => new nn.Unfold([2, 3], { padding: 1 }),
  Fold: () => new nn.Fold([3, 4], [2, 2], { stride: [1, 2] }),
  PixelUnshuffle: () => new nn.PixelUnshuffle(2),
  ChannelShuffle: () => new nn.ChannelShuffle(2),
  PixelShuffle: () => new nn.PixelShuffle(2),
  Dropout: () => new nn.Dropout(0.3),
  Dropout2d: () => new nn.Dropout2d(0.5),
  Sequential: () =>
    new nn.Sequential(
      new nn.Conv2d(3, 4, 3, { bias: false }),
      new nn.BatchNorm2d(4),
      new nn.SiLU(),
      new nn.Flatten(),
      new nn.Linear(16, 2),
    ),
};

describe('layers give PyTorch’s numbers', () => {
  for (const [name, expected] of Object.entries(golden.layers)) {
    test(name, () => {
      scope(() => checkLayer(LAYERS[name]!, expected));
    });
  }
});

function checkLayer(make: () => nn.Layer, expected: LayerCase): void {
  manualSeed(0);
  const layer = make();
  // The random stream stands where PyTorch's stood when it drew the input: after the seed 1 of the input.
  const integers = expected.inputGrad === undefined;
  const input = integers ? loadIntegers(expected.input) : load(expected.input).requiresGrad_();
  const before = layer.stateDict();
  for (const [key, parameter] of layer.namedParameters()) {
    assertClose(parameter, parameterOf(expected, key), `initial ${key}`, 1e-6, 1e-7);
  }
  manualSeed(1);
  if (integers) input.clone().random_(0, 7);
  else input.detach().clone().normal_();
  const output = layer.forward(input);
  assertClose(output, expected.output, 'output');
  output.square().sum().backward();
  if (expected.inputGrad !== undefined) assertClose(input.grad!, expected.inputGrad, 'input gradient', 1e-4);
  for (const [key, parameter] of layer.namedParameters()) {
    assertClose(parameter.grad!, expected.grads[key]!, `gradient of ${key}`, 1e-4, 1e-5);
  }
  assert.deepEqual(Object.keys(before), Object.keys(expected.state), 'names and order of the state');
  for (const [key, value] of Object.entries(layer.stateDict())) {
    assertClose(value, expected.state[key]!, `state ${key} after a forward`, 1e-5);
  }
  layer.eval();
  assertClose(layer.forward(input), expected.evalOutput, 'output in eval mode');
  assert.equal(String(layer), expected.repr);
}

/** Parameters do not change in the fixture's run, so their state is their initial value. */
const parameterOf = (expected: LayerCase, key: string): SavedTensor => expected.state[key]!;
