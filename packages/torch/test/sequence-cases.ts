import { nn, type Tensor, tensor } from '../src/index.ts';

export type Nested = Tensor | null | readonly Nested[];

/** How a module of the fixture is made, the shapes of its random inputs, and how it is called. */
export interface Sequence<M extends nn.Module = nn.Module> {
  make: () => M;
  inputs: number[][];
  call: (module: M, ...inputs: Tensor[]) => Nested;
}

const [L, S, N, E] = [3, 4, 2, 8];
const flags = (rows: number[][]) => tensor(rows).to('bool');
const padding = () =>
  flags([
    [0, 0, 0, 1],
    [0, 0, 1, 1],
  ]);
const selfPadding = () =>
  flags([
    [0, 0, 1],
    [0, 0, 0],
  ]);
const blocked = () =>
  flags([
    [0, 1, 0, 0],
    [0, 0, 0, 1],
    [1, 0, 0, 0],
  ]);
const causal = () => nn.Transformer.generateSquareSubsequentMask(L);

const attention = (
  options: nn.MultiheadAttentionOptions,
  inputs: number[][],
  call: nn.AttentionCall | (() => nn.AttentionCall) = {},
): Sequence<nn.MultiheadAttention> => ({
  make: () => new nn.MultiheadAttention(E, 2, options),
  inputs,
  call: (module, q, k = q!, v = k) => module.forward(q!, k, v, typeof call === 'function' ? call() : call),
});

const packed = <M extends nn.GRU | nn.LSTM>(
  make: () => M,
  options: { batchFirst?: boolean; enforceSorted?: boolean },
  lengths: number[],
): Sequence<M> => ({
  make,
  inputs: [options.batchFirst ? [3, 5, 3] : [5, 3, 3]],
  call: (module, x) => {
    const sequence = nn.utils.rnn.packPaddedSequence(x!, lengths, options);
    const [output, state] = (module as nn.GRU).forward(sequence);
    const { batchFirst = false } = options;
    const [padded] = nn.utils.rnn.padPackedSequence(output, { batchFirst, paddingValue: -1 });
    return [padded, state];
  },
});

/** The modules of fixtures/sequences.json, by name. */
export const SEQUENCES = {
  MultiheadAttention: attention({}, [
    [L, N, E],
    [S, N, E],
    [S, N, E],
  ]),
  MultiheadAttentionSelf: attention({ batchFirst: true }, [[N, L, E]]),
  MultiheadAttentionKeyIsValue: attention(
    { bias: false },
    [
      [L, N, E],
      [S, N, E],
    ],
    { averageAttnWeights: false },
  ),
  MultiheadAttentionMasks: attention(
    {},
    [
      [L, N, E],
      [S, N, E],
      [S, N, E],
    ],
    () => ({
      keyPaddingMask: padding(),
      attnMask: blocked(),
    }),
  ),
  MultiheadAttentionMasksFused: attention(
    { batchFirst: true },
    [
      [N, L, E],
      [N, S, E],
      [N, S, E],
    ],
    () => ({
      keyPaddingMask: padding(),
      attnMask: blocked(),
      needWeights: false,
    }),
  ),
  MultiheadAttentionCausal: attention({ batchFirst: true }, [[N, L, E]], () => ({
    attnMask: causal(),
    isCausal: true,
    needWeights: false,
  })),
  MultiheadAttentionSizes: attention(
    { kdim: 5, vdim: 6, addBiasKv: true, addZeroAttn: true },
    [
      [L, N, E],
      [S, N, 5],
      [S, N, 6],
    ],
    () => ({ keyPaddingMask: padding(), attnMask: blocked() }),
  ),
  MultiheadAttentionUnbatched: attention(
    {},
    [
      [L, E],
      [S, E],
      [S, E],
    ],
    () => ({
      keyPaddingMask: padding().select(0, 0),
    }),
  ),
  MultiheadAttentionDropout: attention({ dropout: 0.5 }, [[L, N, E]]),
  TransformerEncoderLayer: sequence(
    () => new nn.TransformerEncoderLayer(E, 2, { dimFeedforward: 16, dropout: 0 }),
    [[L, N, E]],
    (layer, x) => layer.forward(x!),
  ),
  TransformerEncoderLayerNormFirst: sequence(
    () =>
      new nn.TransformerEncoderLayer(E, 2, {
        dimFeedforward: 16,
        dropout: 0.2,
        activation: 'gelu',
        batchFirst: true,
        normFirst: true,
      }),
    [[N, L, E]],
    (layer, x) => layer.forward(x!, { mask: causal(), isCausal: true }),
  ),
  TransformerEncoder: sequence(
    () =>
      new nn.TransformerEncoder(
        new nn.TransformerEncoderLayer(E, 2, { dimFeedforward: 16, dropout: 0, batchFirst: true }),
        2,
        { norm: new nn.LayerNorm(E) },
      ),
    [[N, L, E]],
    (encoder, x) => encoder.forward(x!, { srcKeyPaddingMask: selfPadding() }),
  ),
  RNN: sequence(
    () => new nn.RNN(3, 4, { numLayers: 2, nonlinearity: 'relu' }),
    [[5, 2, 3]],
    (rnn, x) => rnn.forward(x!),
  ),
  LSTM: sequence(
    () => new nn.LSTM(3, 4, { numLayers: 2, batchFirst: true, bidirectional: true }),
    [[2, 5, 3]],
    (lstm, x) => lstm.forward(x!),
  ),
  LSTMProjection: sequence(
    () => new nn.LSTM(3, 4, { projSize: 2 }),
    [[5, 2, 3]],
    (lstm, x) => lstm.forward(x!),
  ),
  LSTMState: sequence(
    () => new nn.LSTM(3, 4, { bias: false }),
    [
      [5, 3],
      [1, 4],
      [1, 4],
    ],
    (lstm, x, h, c) => lstm.forward(x!, [h!, c!]),
  ),
  LSTMPacked: packed(() => new nn.LSTM(3, 4, { bidirectional: true }), { enforceSorted: false }, [2, 5, 3]),
  GRU: sequence(
    () => new nn.GRU(3, 4),
    [
      [5, 2, 3],
      [1, 2, 4],
    ],
    (gru, x, h) => gru.forward(x!, h!),
  ),
  GRUDropout: sequence(
    () => new nn.GRU(3, 4, { numLayers: 2, dropout: 0.5 }),
    [[5, 2, 3]],
    (gru, x) => gru.forward(x!),
  ),
  GRUPacked: packed(() => new nn.GRU(3, 4, { batchFirst: true }), { batchFirst: true }, [5, 4, 1]),
  TransformerDecoderLayer: sequence(
    () => new nn.TransformerDecoderLayer(E, 2, { dimFeedforward: 16, batchFirst: true }),
    [
      [N, L, E],
      [N, S, E],
    ],
    (layer, x, y) =>
      layer.forward(x!, y!, { tgtMask: causal(), memoryKeyPaddingMask: padding(), tgtIsCausal: true }),
  ),
  Transformer: sequence(
    () =>
      new nn.Transformer({
        dModel: E,
        nhead: 2,
        numEncoderLayers: 1,
        numDecoderLayers: 2,
        dimFeedforward: 16,
        dropout: 0,
      }),
    [
      [S, N, E],
      [L, N, E],
    ],
    (model, x, y) => model.forward(x!, y!, { tgtMask: causal(), srcKeyPaddingMask: padding() }),
  ),
  RNNCell: sequence(
    () => new nn.RNNCell(3, 4, { nonlinearity: 'relu' }),
    [
      [2, 3],
      [2, 4],
    ],
    (cell, x, h) => cell.forward(x!, h!),
  ),
  GRUCell: sequence(
    () => new nn.GRUCell(3, 4, { bias: false }),
    [[3]],
    (cell, x) => cell.forward(x!),
  ),
  LSTMCell: sequence(
    () => new nn.LSTMCell(3, 4),
    [
      [2, 3],
      [2, 4],
      [2, 4],
    ],
    (cell, x, h, c) => cell.forward(x!, [h!, c!]),
  ),
  Bilinear: sequence(
    () => new nn.Bilinear(3, 4, 2),
    [
      [5, 3],
      [5, 4],
    ],
    (layer, x, y) => layer.forward(x!, y!),
  ),
  Conv1d: sequence(
    () => nn.utils.weightNorm(new nn.Conv1d(3, 4, 2)),
    [[2, 3, 5]],
    (layer, x) => layer.forward(x!),
  ),
  EmbeddingBag: sequence(
    () => new nn.EmbeddingBag(5, 3, { mode: 'sum', paddingIdx: 1 }),
    [[2, 2]],
    (bag, w) =>
      bag.forward(
        tensor(
          [
            [0, 1],
            [4, 2],
          ],
          { dtype: 'int64' },
        ),
        { perSampleWeights: w! },
      ),
  ),
  CTCLoss: sequence(
    () => new nn.CTCLoss(),
    [[6, 2, 4]],
    (loss, x) =>
      loss.forward(
        x!.logSoftmax(2),
        tensor(
          [
            [1, 2, 2],
            [3, 1, 0],
          ],
          { dtype: 'int64' },
        ),
        [6, 5],
        [3, 2],
      ),
  ),
  CTCLossTensors: sequence(
    () => new nn.CTCLoss({ blank: 3, reduction: 'sum', zeroInfinity: true }),
    [[6, 2, 4]],
    (loss, x) => {
      const integers = (values: number[]) => tensor(values, { dtype: 'int64' });
      const targets = integers([1, 2, 2, 0, 1, 0, 1, 0, 1]);
      return loss.forward(x!.logSoftmax(2), targets, integers([6, 5]), integers([3, 6]));
    },
  ),
} as unknown as Record<string, Sequence>;

function sequence<M extends nn.Module>(
  make: () => M,
  inputs: number[][],
  call: (module: M, ...inputs: Tensor[]) => Nested,
): Sequence<M> {
  return { make, inputs, call };
}
