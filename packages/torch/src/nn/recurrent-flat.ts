import { noGrad } from '../autograd/modes.ts';
import { op } from '../ops/call.ts';
import type { DType } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';

const usesCudnn = op<() => boolean>('aten::_use_cudnn_rnn_flatten_weight');
const flattenOp = op('aten::_cudnn_rnn_flatten_weight');

/** What cuDNN has to know to lay out the weights of a recurrent layer. */
export interface FlatLayout {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly projSize: number;
  readonly numLayers: number;
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
}

const CUDNN_DTYPES: readonly DType[] = ['float32', 'float16', 'float64'];

/**
 * Moves the weights of a recurrent layer into one block, where cuDNN reads them without a copy at every call.
 * Does nothing when they are there already, or where cuDNN does not run.
 * @param weights those of each layer and direction
 * @param mode cuDNN's number: 0 RNN with ReLU, 1 RNN with tanh, 2 LSTM, 3 GRU
 */
export function flattenForCudnn(
  weights: readonly (readonly Tensor[])[],
  mode: number,
  layout: FlatLayout,
): void {
  const all = weights.flat();
  const [first] = all as [Tensor, ...Tensor[]];
  if (!first.device.startsWith('cuda') || !usesCudnn()) return;
  if (all.every((weight) => weight === first || weight.sharesStorage(first))) return;
  if (!all.every(({ dtype }) => dtype === first.dtype && CUDNN_DTYPES.includes(dtype))) return;
  const { inputSize, hiddenSize, projSize, numLayers, batchFirst, bidirectional } = layout;
  noGrad(() =>
    flattenOp(
      all,
      weights[0]!.length,
      inputSize,
      mode,
      hiddenSize,
      projSize,
      numLayers,
      batchFirst,
      bidirectional,
    ),
  );
}
