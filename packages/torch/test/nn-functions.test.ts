import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { empty, manualSeed, nn, scope, slice, type Tensor, tensor } from '../src/index.ts';
import { assertClose, load, loadIntegers, numbersOf, type SavedTensor } from './assert-close.ts';
import { fixture } from './fixture.ts';

const { functional: F, init } = nn;

interface Clip {
  grads: number[][];
  norm: number;
  clipped: number[][];
}

const golden = fixture<{
  init: Record<string, SavedTensor>;
  loss: Record<'logits' | 'probabilities' | 'other' | 'classes' | 'weight', SavedTensor> & {
    results: Record<string, SavedTensor>;
  };
  functional: Record<'image' | 'grid' | 'q' | 'k' | 'v', SavedTensor> & {
    results: Record<string, SavedTensor>;
  };
  clip: Record<string, Clip>;
}>('nn.json');

/** Every result of the fixture against the call of the same name. */
function compareAll(results: Record<string, SavedTensor>, calls: Record<string, () => Tensor>): void {
  assert.deepEqual(Object.keys(calls).sort(), Object.keys(results).sort());
  for (const [name, call] of Object.entries(calls)) {
    scope(() => assertClose(call(), results[name]!, name));
  }
}

const integers = (values: number[] | number[][]) => tensor(values, { dtype: 'int64' });

const filled = (shape: number[], fill: (t: Tensor) => Tensor) => () => {
  manualSeed(0);
  return fill(empty(shape));
};

describe('nn.init', () => {
  test('draws PyTorch’s numbers', () => {
    compareAll(golden.init, {
      uniform: filled([4, 5], (t) => init.uniform_(t, -2, 3)),
      normal: filled([4, 5], (t) => init.normal_(t, 1, 2)),
      constant: filled([2, 2], (t) => init.constant_(t, 0.3)),
      kaimingUniform: filled([4, 5, 3, 3], (t) => init.kaimingUniform_(t, { nonlinearity: 'relu' })),
      kaimingUniformFanOut: filled([4, 5], (t) => init.kaimingUniform_(t, { a: 0.2, mode: 'fanOut' })),
      kaimingNormal: filled([4, 5], (t) => init.kaimingNormal_(t, { mode: 'fanOut', nonlinearity: 'relu' })),
      xavierUniform: filled([4, 5], (t) => init.xavierUniform_(t, { gain: 2 })),
      xavierNormal: filled([4, 5], (t) => init.xavierNormal_(t)),
      truncNormal: filled([4, 5], (t) => init.truncNormal_(t, { std: 0.5, a: -0.4, b: 0.6 })),
      truncNormalTail: filled([4, 5], (t) => init.truncNormal_(t, { a: 1.5, b: 3 })),
      orthogonalWide: filled([3, 5], (t) => init.orthogonal_(t, { gain: 1.5 })),
      orthogonalTall: filled([6, 2, 2], (t) => init.orthogonal_(t)),
    });
  });

  test('refuses what has no fan', () => {
    assert.throws(() => init.kaimingUniform_(empty([3])), {
      code: 'VALUE',
      message: 'Fan in and fan out can not be computed for tensor with fewer than 2 dimensions',
    });
    assert.throws(() => init.orthogonal_(empty([3])), {
      code: 'VALUE',
      message: 'Only tensors with 2 or more dimensions are supported',
    });
  });

  test('leaves the graph alone', () => {
    const weight = new nn.Parameter(empty([2, 2]));
    init.normal_(weight);
    assert.equal(weight.isLeaf, true);
    assert.equal(weight.requiresGrad, true);
  });
});

test('losses', () => {
  scope(() => {
    const { results, ...inputs } = golden.loss;
    const [logits, other, weight] = [load(inputs.logits), load(inputs.other), load(inputs.weight)];
    const [probabilities, classes] = [load(inputs.probabilities), loadIntegers(inputs.classes)];
    const signs = tensor([1, -1, -1, 1]);
    const column = (x: Tensor, index: number) => x.select(1, index);
    compareAll(results, {
      mse: () => new nn.MSELoss().forward(logits, other),
      mseSum: () => new nn.MSELoss({ reduction: 'sum' }).forward(logits, other),
      mseNone: () => new nn.MSELoss({ reduction: 'none' }).forward(logits, other),
      l1: () => new nn.L1Loss().forward(logits, other),
      smoothL1: () => new nn.SmoothL1Loss({ beta: 0.5 }).forward(logits, other),
      huber: () => new nn.HuberLoss({ delta: 0.7 }).forward(logits, other),
      crossEntropy: () => new nn.CrossEntropyLoss().forward(logits, classes),
      crossEntropyWeighted: () =>
        new nn.CrossEntropyLoss({ weight, ignoreIndex: 1, labelSmoothing: 0.1 }).forward(logits, classes),
      crossEntropyProbabilities: () => new nn.CrossEntropyLoss().forward(logits, other.softmax(1)),
      nll: () => new nn.NLLLoss({ weight }).forward(logits.logSoftmax(1), classes),
      bce: () => new nn.BCELoss({ reduction: 'sum' }).forward(probabilities, other),
      bceWithLogits: () => new nn.BCEWithLogitsLoss().forward(logits, other),
      bceWithLogitsPosWeight: () =>
        new nn.BCEWithLogitsLoss({ posWeight: weight, reduction: 'none' }).forward(logits, other),
      klDiv: () => F.klDiv(logits.logSoftmax(1), other.softmax(1), { reduction: 'batchmean' }),
      cosineSimilarity: () => F.cosineSimilarity(logits, other),
      klDivMean: () =>
        new nn.KLDivLoss({ logTarget: true }).forward(logits.logSoftmax(1), other.logSoftmax(1)),
      poisson: () => new nn.PoissonNLLLoss({ full: true }).forward(logits, other.mul(4)),
      poissonRate: () =>
        new nn.PoissonNLLLoss({ logInput: false, reduction: 'sum' }).forward(probabilities, other),
      gaussian: () => new nn.GaussianNLLLoss({ full: true }).forward(logits, other, probabilities),
      gaussianShared: () =>
        new nn.GaussianNLLLoss({ reduction: 'none' }).forward(logits, other, column(probabilities, 0)),
      cosineEmbedding: () => new nn.CosineEmbeddingLoss({ margin: 0.2 }).forward(logits, other, signs),
      marginRanking: () =>
        new nn.MarginRankingLoss({ margin: 0.5 }).forward(column(logits, 0), column(other, 0), signs),
      hingeEmbedding: () => new nn.HingeEmbeddingLoss({ reduction: 'sum' }).forward(column(logits, 1), signs),
      softMargin: () => new nn.SoftMarginLoss().forward(column(logits, 2), signs),
      triplet: () => new nn.TripletMarginLoss({ swap: true }).forward(logits, other, probabilities),
      tripletDistance: () =>
        new nn.TripletMarginWithDistanceLoss({
          distanceFunction: (a, b) => F.cosineSimilarity(a, b).rsub(1),
          swap: true,
        }).forward(logits, other, probabilities),
      multiMargin: () => new nn.MultiMarginLoss({ p: 2, weight }).forward(logits, classes),
      multilabelMargin: () => {
        const lists = tensor(new Array(4).fill([0, 2, -1]), { dtype: 'int64' });
        return new nn.MultiLabelMarginLoss().forward(logits, lists);
      },
      multilabelSoftMargin: () =>
        new nn.MultiLabelSoftMarginLoss({ weight }).forward(logits, other.gt(0.5).float()),
      pairwiseDistance: () => new nn.PairwiseDistance({ p: 1 }).forward(logits, other),
      pdist: () => F.pdist(logits),
      cosineSimilarityModule: () => new nn.CosineSimilarity({ dim: 0 }).forward(logits, other),
    });
    assert.throws(() => F.binaryCrossEntropyWithLogits(logits, weight), {
      code: 'VALUE',
      message: 'Target size (torch.Size([3])) must be the same as input size (torch.Size([4, 3]))',
    });
  });
});

test('nn.functional', () => {
  scope(() => {
    const { results, ...inputs } = golden.functional;
    const [image, grid] = [load(inputs.image), load(inputs.grid)];
    const [q, k, v] = [load(inputs.q), load(inputs.k), load(inputs.v)];
    compareAll(results, {
      nearestSize: () => F.interpolate(image, { size: [3, 7] }),
      nearestExact: () => F.interpolate(image, { scaleFactor: 1.5, mode: 'nearest-exact' }),
      bicubic: () => F.interpolate(image, { scaleFactor: [2, 1.5], mode: 'bicubic' }),
      area: () => F.interpolate(image, { scaleFactor: 0.5, mode: 'area' }),
      padReplicate: () => F.pad(image, [1, 2, 0, 1], { mode: 'replicate' }),
      padConstant: () => F.pad(image, [1, 0], { value: 2.5 }),
      padCircular: () => F.pad(image, [1, 1, 1, 1], { mode: 'circular' }),
      gridSample: () => F.gridSample(image, grid),
      gridSampleNearest: () =>
        F.gridSample(image, grid, { mode: 'nearest', paddingMode: 'border', alignCorners: true }),
      unfold: () => F.unfold(image, 2, { stride: 2 }),
      normalize: () => F.normalize(image),
      instanceNorm: () => F.instanceNorm(image),
      attention: () => F.scaledDotProductAttention(q, k, v),
      attentionCausal: () => F.scaledDotProductAttention(q, q, q, { isCausal: true, scale: 0.3 }),
      oneHot: () => F.oneHot(tensor([0, 2, 1], { dtype: 'int64' }), 4),
      glu: () => F.glu(image, 1),
      logSigmoid: () => F.logSigmoid(image),
      softsign: () => F.softsign(image),
      hardtanh: () => F.hardtanh(image, -0.5, 0.5),
      maxPool1dIndices: () => F.maxPool1dWithIndices(image.at(0), 2)[1],
      affineGrid: () => {
        const theta = image.at(0, 0, slice(0, 2), slice(0, 3)).reshape(1, 2, 3);
        return F.affineGrid(theta, [1, 2, 2, 3], { alignCorners: true });
      },
      embeddingBag: () =>
        F.embeddingBag(
          integers([
            [0, 2],
            [1, 1],
          ]),
          image.at(0, 0),
        ),
      embeddingBagOffsets: () =>
        F.embeddingBag(integers([0, 2, 1]), image.at(0, 0), { offsets: integers([0, 1]), mode: 'max' }),
      gumbelSoftmax: () => {
        manualSeed(4);
        return F.gumbelSoftmax(image, { tau: 0.5, dim: 1 });
      },
      gumbelSoftmaxHard: () => {
        manualSeed(4);
        return F.gumbelSoftmax(image, { hard: true });
      },
      maxPool2dIndices: () => F.maxPool2dWithIndices(image, 2)[1],
    });
    assert.throws(() => F.interpolate(image, {}), {
      code: 'VALUE',
      message: 'either size or scale_factor should be defined',
    });
    assert.throws(() => F.interpolate(image, { size: 2, scaleFactor: 2 }), {
      code: 'VALUE',
      message: 'only one of size or scale_factor should be defined',
    });
    assert.throws(() => F.interpolate(image, { size: 2, mode: 'linear' }), {
      code: 'NOT_IMPLEMENTED',
      message: "interpolate: mode 'linear' does not take inputs of 4 dimensions",
    });
    assert.throws(() => F.dropout(image, 1.5), {
      code: 'VALUE',
      message: 'dropout probability has to be between 0 and 1, but got 1.5',
    });
  });
});

describe('gradient clipping', () => {
  const parametersWith = (grads: number[][]) =>
    grads.map((values) => {
      const parameter = new nn.Parameter(tensor(values));
      parameter.grad = tensor(values);
      return parameter;
    });

  const CLIPS: Record<string, { maxNorm: number; normType?: number }> = {
    above: { maxNorm: 1 },
    below: { maxNorm: 1 },
    infinity: { maxNorm: 2, normType: Number.POSITIVE_INFINITY },
    one: { maxNorm: 2, normType: 1 },
  };

  for (const [name, { maxNorm, normType }] of Object.entries(CLIPS)) {
    test(`norm: ${name}`, () => {
      const { grads, norm, clipped } = golden.clip[name]!;
      const parameters = parametersWith(grads);
      assertClose(
        nn.utils.clipGradNorm_(parameters, maxNorm, { normType }),
        { shape: [], data: [norm] },
        name,
      );
      parameters.forEach((parameter, i) => {
        assertClose(
          parameter.grad!,
          { shape: [clipped[i]!.length], data: clipped[i]! },
          `gradient ${i}`,
          1e-6,
        );
      });
    });
  }

  test('gradients of several dtypes are clipped together', () => {
    const parameters = [new nn.Parameter(tensor([0])), new nn.Parameter(tensor([0], { dtype: 'float64' }))];
    parameters[0]!.grad = tensor([3]);
    parameters[1]!.grad = tensor([4], { dtype: 'float64' });
    assert.equal(nn.utils.clipGradNorm_(parameters, 1).item(), 5);
    assertClose(parameters[0]!.grad!, { shape: [1], data: [0.6] }, 'float32');
    assertClose(parameters[1]!.grad!, { shape: [1], data: [0.8] }, 'float64');
  });

  test('a norm that is not finite is an error when asked for', () => {
    const parameters = parametersWith([[1, Number.POSITIVE_INFINITY]]);
    assert.throws(() => nn.utils.clipGradNorm_(parameters, 1, { errorIfNonfinite: true }), {
      code: 'NONFINITE_NORM',
      message:
        'The total norm of order 2 for gradients from `parameters` is non-finite, so it cannot be clipped. To ' +
        'disable this error and scale the gradients by the non-finite norm anyway, set `errorIfNonfinite: false`',
    });
    assert.deepEqual(numbersOf(parameters[0]!.grad!), [1, Number.POSITIVE_INFINITY]);
  });

  test('no gradients: norm 0', () => {
    assert.equal(nn.utils.clipGradNorm_([new nn.Parameter(tensor([1]))], 1).item(), 0);
  });

  test('by value', () => {
    const [parameter] = parametersWith([[-3, 0.5, 2]]) as [nn.Parameter];
    nn.utils.clipGradValue_(parameter, 1);
    assert.deepEqual(numbersOf(parameter.grad!), [-1, 0.5, 1]);
  });
});
