import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  autocast,
  cuda,
  GradScaler,
  manualSeed,
  memory,
  nn,
  ones,
  optim,
  randn,
  scope,
  setWarningHandler,
  tensor,
  type Warning,
  zeros,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { assertNothingLeft } from './assert-memory.ts';

const { packPaddedSequence, packSequence, padPackedSequence, padSequence, unpackSequence } = nn.utils.rnn;

const refused = (message: string) => ({ code: 'VALUE', message });

describe('MultiheadAttention', () => {
  const attention = new nn.MultiheadAttention(8, 2);
  const [q, k] = [zeros([3, 2, 8]), zeros([4, 2, 8])];

  test('refuses what does not fit, in PyTorch’s words', () => {
    assert.throws(() => new nn.MultiheadAttention(8, 3), refused('embed_dim must be divisible by num_heads'));
    const call = (...args: Parameters<typeof attention.forward>) => {
      return () => attention.forward(...args);
    };
    assert.throws(
      call(zeros([3]), k, k),
      refused('query should be unbatched 2D or batched 3D tensor but received 1-D query tensor'),
    );
    assert.throws(
      call(q, zeros([4, 8]), k),
      refused(
        'For batched (3-D) `query`, expected `key` and `value` to be 3-D but found 2-D and 3-D tensors respectively',
      ),
    );
    assert.throws(
      call(q, k, zeros([5, 2, 8])),
      refused('key shape torch.Size([4, 2, 8]) does not match value shape torch.Size([5, 2, 8])'),
    );
    assert.throws(call(zeros([3, 2, 6]), k, k), refused('was expecting embedding dimension of 8, but got 6'));
    assert.throws(
      call(q, k, k, { attnMask: zeros([3, 3]) }),
      refused('The shape of the 2D attn_mask is torch.Size([3, 3]), but should be (3, 4).'),
    );
    assert.throws(
      call(q, k, k, { attnMask: zeros([2, 3, 4]) }),
      refused('The shape of the 3D attn_mask is torch.Size([2, 3, 4]), but should be (4, 3, 4).'),
    );
    assert.throws(
      call(q, k, k, { keyPaddingMask: zeros([2, 3]) }),
      refused('The shape of the key_padding_mask is torch.Size([2, 3]), but should be (2, 4).'),
    );
    assert.throws(
      call(q, k, k, { keyPaddingMask: zeros([2, 4], { dtype: 'int64' }) }),
      refused('only bool and floating types of key_padding_mask are supported'),
    );
    assert.throws(
      call(q, k, k, { isCausal: true }),
      refused(
        'Need attn_mask if specifying the is_causal hint. You may use the Transformer module method ' +
          '`generate_square_subsequent_mask` to create this mask.',
      ),
    );
  });

  test('both paths give the same numbers', () => {
    scope(() => {
      manualSeed(0);
      const own = new nn.MultiheadAttention(8, 2, { batchFirst: true });
      const x = randn([2, 5, 8]);
      const attnMask = nn.Transformer.generateSquareSubsequentMask(5);
      const [slow, weights] = own.forward(x, x, x, { attnMask });
      const [fast, none] = own.forward(x, x, x, { attnMask, isCausal: true, needWeights: false });
      assert.equal(none, null);
      assert.ok(slow.allclose(fast, { rtol: 1e-4, atol: 1e-6 }));
      assert.equal(weights!.triu(1).abs().max().item(), 0);
      assert.ok(weights!.sum(-1).allclose(ones([2, 5])));
    });
  });
});

test('the layers of an encoder start equal, are trained apart, and leave the random stream alone', () => {
  manualSeed(0);
  const layer = new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16 });
  layer.linear1.weight.requiresGrad = false;
  const after = randn([1]).item();
  manualSeed(0);
  const encoder = new nn.TransformerEncoder(new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16 }), 2);
  assert.equal(randn([1]).item(), after);
  const [a, b] = [encoder.layers.at(0), encoder.layers.at(1)];
  assert.notEqual(a, b);
  assert.ok(a.linear1.weight.equal(b.linear1.weight));
  assert.equal(a.linear1.weight.sharesStorage(b.linear1.weight), false);
  const copy = layer.eval().copy();
  assert.deepEqual([copy.training, copy.linear1.weight.requiresGrad], [false, false]);
});

describe('recurrent layers', () => {
  test('refuse what does not fit, in PyTorch’s words', () => {
    const gru = new nn.GRU(3, 4);
    const lstm = new nn.LSTM(3, 4);
    const x = zeros([5, 2, 3]);
    assert.throws(() => new nn.GRU(3, 0), refused('hidden_size must be greater than zero'));
    assert.throws(
      () => new nn.LSTM(3, 4, { projSize: 4 }),
      refused('proj_size has to be smaller than hidden_size'),
    );
    assert.throws(
      () => new nn.RNN(3, 4, { dropout: 2 }),
      refused(
        'dropout should be a number in range [0, 1] representing the probability of an element being zeroed',
      ),
    );
    assert.throws(
      () => gru.forward(zeros([3])),
      refused('GRU: Expected input to be 2D or 3D, got 1D instead'),
    );
    assert.throws(
      () => gru.forward(zeros([5, 2, 4])),
      refused('input.size(-1) must be equal to input_size. Expected 3, got 4'),
    );
    assert.throws(
      () => gru.forward(x, zeros([1, 3, 4])),
      refused('Expected hidden size (1, 2, 4), got [1, 3, 4]'),
    );
    assert.throws(
      () => lstm.forward(x, [zeros([1, 2, 4]), zeros([2, 2, 4])]),
      refused('Expected hidden[1] size (1, 2, 4), got [2, 2, 4]'),
    );
    assert.throws(
      () => gru.forward(x.double()),
      refused(
        'RNN input dtype (torch.float64) does not match weight dtype (torch.float32). Convert input: ' +
          "input.to('float32'), or convert model: model.to('float64')",
      ),
    );
  });

  test('warn of a dropout that drops nothing', () => {
    const heard: Warning[] = [];
    const before = setWarningHandler((warning) => heard.push(warning));
    try {
      new nn.GRU(3, 4, { dropout: 0.5 });
    } finally {
      setWarningHandler(before);
    }
    assert.deepEqual(heard, [
      {
        code: 'DROPOUT_UNUSED',
        message:
          'dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects ' +
          'num_layers greater than 1, but got dropout=0.5 and num_layers=1',
      },
    ]);
  });

  test('on CUDA give the numbers of the CPU, in float32 and under autocast', {
    skip: cuda.isAvailable() ? false : 'needs a CUDA device',
  }, () => {
    for (const make of [
      () => new nn.LSTM(3, 4, { numLayers: 2 }),
      () => new nn.GRU(3, 4),
      () => new nn.RNN(3, 4),
    ]) {
      scope(() => {
        manualSeed(0);
        const layer = make() as nn.GRU;
        const x = randn([5, 2, 3]);
        const [expected] = layer.forward(x);
        layer.cuda();
        const [first] = layer.forward(x.cuda());
        const [again] = layer.forward(x.cuda());
        assert.ok(first.cpu().allclose(expected, { rtol: 1e-4, atol: 1e-5 }));
        assert.ok(again.equal(first));
        const [low] = autocast({ device: 'cuda', dtype: 'float16' }, () => layer.forward(x.cuda()));
        assert.ok(low.float().cpu().allclose(expected, { rtol: 1e-2, atol: 1e-2 }));
      });
    }
  });
});

describe('packed sequences', () => {
  const padded = () =>
    tensor([
      [1, 2, 0],
      [4, 5, 6],
      [7, 0, 0],
    ]);

  test('pack and pad are inverse, in any order', () => {
    const packed = packPaddedSequence(padded(), [2, 3, 1], { batchFirst: true, enforceSorted: false });
    assert.deepEqual(numbersOf(packed.data), [4, 1, 7, 5, 2, 6]);
    assert.deepEqual(numbersOf(packed.batchSizes), [3, 2, 1]);
    assert.deepEqual(numbersOf(packed.sortedIndices!), [1, 0, 2]);
    const [back, lengths] = padPackedSequence(packed, { batchFirst: true });
    assert.ok(back.equal(padded()));
    assert.deepEqual(numbersOf(lengths), [2, 3, 1]);
    const [longer] = padPackedSequence(packed, { totalLength: 4, paddingValue: -1 });
    assert.deepEqual(longer.shape, [4, 3]);
    assert.throws(
      () => padPackedSequence(packed, { totalLength: 2 }),
      refused(
        'Expected total_length to be at least the length of the longest sequence in input, but got ' +
          'total_length=2 and max sequence length being 3',
      ),
    );
  });

  test('lists of sequences', () => {
    const sequences = [tensor([1, 2]), tensor([4, 5, 6]), tensor([7])];
    assert.ok(padSequence(sequences, { batchFirst: true }).equal(padded()));
    const unpacked = unpackSequence(packSequence(sequences, { enforceSorted: false }));
    assert.deepEqual(unpacked.map(numbersOf), [[1, 2], [4, 5, 6], [7]]);
  });

  test('an order that is not sorted is refused unless it may be', () => {
    assert.throws(() => packPaddedSequence(padded(), [2, 3, 1], { batchFirst: true }), {
      message: /`lengths` array must be sorted in decreasing order when `enforce_sorted` is True/,
    });
  });
});

test('weightNorm trains direction and length, and is undone', () => {
  scope(() => {
    manualSeed(0);
    const layer = new nn.Linear(3, 2);
    const before = layer.weight.clone();
    nn.utils.weightNorm(layer);
    assert.deepEqual(Object.keys(layer.stateDict()), ['bias', 'weight_g', 'weight_v']);
    assert.ok(layer.weight.allclose(before));
    layer
      .forward(ones([1, 3]))
      .sum()
      .backward();
    assert.ok([...layer.namedParameters()].every(([, { grad }]) => grad !== null));
    nn.utils.removeWeightNorm(layer);
    assert.deepEqual(Object.keys(layer.stateDict()), ['bias', 'weight']);
    assert.ok(layer.weight.allclose(before));
    assert.throws(
      () => nn.utils.removeWeightNorm(layer),
      refused("weight_norm of 'weight' not found in Linear"),
    );
    assert.throws(
      () => nn.utils.weightNorm(layer, { name: 'weights' }),
      refused("weightNorm: Linear has no parameter 'weights'"),
    );
  });
});

test('a step of convolution, recurrence, attention and CTC in float16 leaves nothing behind', () => {
  manualSeed(0);
  const conv = nn.utils.weightNorm(new nn.Conv1d(4, 8, 3, { padding: 1 }));
  const gru = new nn.GRU(8, 4, { batchFirst: true, bidirectional: true });
  const encoder = new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16, batchFirst: true });
  const loss = new nn.CTCLoss();
  const parameters = [conv, gru, encoder].flatMap((module) => module.parameters());
  const optimizer = new optim.AdamW(parameters, { lr: 1e-2 });
  const scaler = new GradScaler({ device: 'cpu', initScale: 2 ** 8 });
  const x = randn([2, 4, 12]);
  const targets = tensor(
    [
      [1, 2],
      [3, 4],
    ],
    { dtype: 'int64' },
  );
  const losses: number[] = [];
  const step = () =>
    scope(() => {
      optimizer.zeroGrad();
      const value = autocast({ device: 'cpu', dtype: 'float16' }, () => {
        const [states] = gru.forward(conv.forward(x).transpose(1, 2));
        const logProbs = encoder.forward(states).logSoftmax(-1).transpose(0, 1);
        return loss.forward(logProbs, targets, [12, 12], [2, 2]);
      });
      assert.equal(value.dtype, 'float32');
      scaler.scale(value).backward();
      scaler.step(optimizer);
      scaler.update();
      losses.push(Number(value.item()));
    });
  for (let i = 0; i < 3; i++) step();
  const before = memory.stats();
  for (let i = 0; i < 20; i++) step();
  assertNothingLeft(before, memory.stats());
  assert.ok(losses.at(-1)! < 0.5 * losses[0]!, losses.join(' '));
});

test('parameters as one vector and back', () => {
  const layer = new nn.Linear(2, 1);
  nn.utils.vectorToParameters(tensor([1, 2, 3]), layer.parameters());
  assert.deepEqual(numbersOf(layer.weight), [1, 2]);
  assert.deepEqual(numbersOf(nn.utils.parametersToVector(layer.parameters())), [1, 2, 3]);
});
