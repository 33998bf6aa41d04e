import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { KerasError, keras } from '@mezzo/keras';
import { explain } from '@mezzo/precision';
import { arange, nn, ones, randn, saveSafetensors, scope, type Tensor, tensor } from '@mezzo/torch';

const { layers } = keras;
const folder = mkdtempSync(join(tmpdir(), 'mezzo-keras-'));
after(() => rmSync(folder, { recursive: true }));

function twoBranches(): keras.Model {
  keras.utils.clearSession();
  const image = keras.Input({ shape: [8, 8, 3], name: 'image' });
  const facts = keras.Input({ shape: [4] });
  let x = new layers.Conv2D(4, 3, { activation: 'relu' }).call(image);
  x = new layers.BatchNormalization().call(x);
  x = new layers.Flatten().call(x);
  const h = new layers.Dense(16).call(facts);
  const joined = new layers.Concatenate().call([x, h]);
  return new keras.Model({
    inputs: [image, facts],
    outputs: new layers.Dense(2, { name: 'head' }).call(joined),
  });
}

test('summary: rows, order, shapes and counts of Keras', () => {
  assert.equal(
    twoBranches().summary(),
    `Model: "model"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━┓
┃ Layer (type)                             ┃ Output Shape    ┃ Param # ┃ Connected to        ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━┩
│ image (InputLayer)                       │ (null, 8, 8, 3) │       0 │ -                   │
├──────────────────────────────────────────┼─────────────────┼─────────┼─────────────────────┤
│ conv2d (Conv2D)                          │ (null, 6, 6, 4) │     112 │ image               │
├──────────────────────────────────────────┼─────────────────┼─────────┼─────────────────────┤
│ batch_normalization (BatchNormalization) │ (null, 6, 6, 4) │      16 │ conv2d              │
├──────────────────────────────────────────┼─────────────────┼─────────┼─────────────────────┤
│ input_layer (InputLayer)                 │ (null, 4)       │       0 │ -                   │
├──────────────────────────────────────────┼─────────────────┼─────────┼─────────────────────┤
│ flatten (Flatten)                        │ (null, 144)     │       0 │ batch_normalization │
├──────────────────────────────────────────┼─────────────────┼─────────┼─────────────────────┤
│ dense (Dense)                            │ (null, 16)      │      80 │ input_layer         │
├──────────────────────────────────────────┼─────────────────┼─────────┼─────────────────────┤
│ concatenate (Concatenate)                │ (null, 160)     │       0 │ flatten, dense      │
├──────────────────────────────────────────┼─────────────────┼─────────┼─────────────────────┤
│ head (Dense)                             │ (null, 2)       │     322 │ concatenate         │
└──────────────────────────────────────────┴─────────────────┴─────────┴─────────────────────┘
 Total params: 530 (2.07 KB)
 Trainable params: 522 (2.04 KB)
 Non-trainable params: 8 (32.00 B)
`,
  );
});

test('weights: the paths and order of Keras, in a file that another model of the same layers reads', () => {
  const model = twoBranches();
  const paths = model.namedWeights().map(([path]) => path);
  assert.deepEqual(paths, [
    'conv2d/kernel',
    'conv2d/bias',
    'batch_normalization/gamma',
    'batch_normalization/beta',
    'batch_normalization/moving_mean',
    'batch_normalization/moving_variance',
    'dense/kernel',
    'dense/bias',
    'head/kernel',
    'head/bias',
  ]);
  const file = join(folder, 'two.safetensors');
  model.saveWeights(file);
  const kernel = (model.layers[0] as keras.layers.Conv2D).kernel;
  const wanted = kernel.detach().clone();
  kernel.detach().fill_(0);
  model.loadWeights(file);
  assert.ok(kernel.equal(wanted));

  // Names that were counted on in the meantime do not matter.
  const make = () =>
    new keras.Sequential([keras.Input({ shape: [3] }), new layers.Dense(2), new layers.Dense(1)]);
  const [first, second] = [make(), make()];
  const other = join(folder, 'chain.safetensors');
  first.saveWeights(other);
  second.loadWeights(other);
  assert.ok(second.weights.every((weight, i) => weight.equal(first.weights[i]!)));
});

test('a file of another model changes nothing and says what differs', () => {
  const model = new keras.Sequential([keras.Input({ shape: [3] }), new layers.Dense(2)], { name: 'small' });
  const before = model.getWeights();
  const file = join(folder, 'other.safetensors');
  const refuses = (tensors: Record<string, Tensor>, message: string) => {
    saveSafetensors(file, tensors);
    assert.throws(
      () => model.loadWeights(file),
      (error) => error instanceof KerasError && error.code === 'BAD_WEIGHTS' && error.message === message,
    );
  };
  const bias = ones([2]);
  refuses(
    { 'dense/kernl': ones([3, 2]), 'dense/bias': bias },
    `${file} is not of model 'small': it lacks dense/kernel and has dense/kernl, which the model does not; did you mean 'dense/kernl'?`,
  );
  refuses(
    { 'dense/kernel': ones([2, 3]), 'dense/bias': bias },
    "model 'small': expected dense/kernel of shape (3, 2), but got (2, 3)",
  );
  assert.ok(model.weights.every((weight, i) => weight.equal(before[i]!)));
  assert.throws(
    () => new keras.Sequential([new layers.Dense(1)], { name: 'open' }).saveWeights(file),
    (error) =>
      error instanceof KerasError &&
      error.message === "model 'open': its shapes are not known yet" &&
      error.hint === 'begin it with keras.Input({ shape }), or call it on data first',
  );
});

test('policies: variables in float32, cast when read; inputs cast; a layer may differ from the global policy', () => {
  keras.mixedPrecision.setGlobalPolicy('mixed_bfloat16');
  const low = new layers.Dense(2);
  const high = new layers.Dense(2, { dtype: 'float32' });
  keras.mixedPrecision.setGlobalPolicy('float32');
  assert.equal(String(low.dtypePolicy), '<Policy "mixed_bfloat16">');
  const y = low.call(ones([1, 3]));
  assert.deepEqual(
    [y.dtype, low.computeDtype, low.variableDtype, low.kernel.dtype],
    ['bfloat16', 'bfloat16', 'float32', 'float32'],
  );
  assert.deepEqual([high.call(y).dtype, high.kernel.dtype], ['float32', 'float32']);
  assert.equal(low.call(keras.Input({ shape: [3] })).dtype, 'bfloat16');
  y.float().sum().backward();
  assert.equal(low.kernel.grad!.dtype, 'float32');
});

test('a model hands its data on as it is: large numbers of tokens, a first layer in float32', () => {
  keras.mixedPrecision.setGlobalPolicy('mixed_bfloat16');
  const seen: string[] = [];
  class Spy extends layers.Activation {
    protected override compute(x: Tensor): Tensor {
      seen.push(x.dtype);
      return x;
    }
  }
  const spy = () => new Spy(null, { dtype: 'float32' });
  const tokens = new keras.Sequential([
    keras.Input({ shape: [1], dtype: 'int64' }),
    new layers.Embedding(1000, 1),
  ]);
  const input = keras.Input({ shape: [2] });
  const models = [
    new keras.Sequential([keras.Input({ shape: [2] }), spy()]),
    new keras.Model({ inputs: input, outputs: spy().call(input) }),
  ];
  keras.mixedPrecision.setGlobalPolicy('float32');
  tokens.setWeights([arange(1000, { dtype: 'float32' }).div(1024).reshape(1000, 1)]);
  // 513 is no number of bfloat16: rounded it would be another row.
  assert.ok(Math.abs(Number(tokens.call(tensor([[513]])).item()) - 513 / 1024) < 2 ** -9);
  assert.ok(Math.abs(Number(tokens.call(tensor([[999n]])).item()) - 999 / 1024) < 2 ** -8);
  for (const model of models) model.call(ones([1, 2]));
  assert.deepEqual(seen, ['float32', 'float32']);
});

test('channels last: a convolution copies neither input, kernel nor output', () => {
  const conv = new layers.Conv2D(8, 3, { padding: 'same', useBias: false });
  const y = conv.call(randn([2, 6, 5, 4]));
  assert.ok(y.isContiguous(), 'the output lies in memory as [batch, rows, columns, channels]');
  assert.deepEqual(conv.kernel.shape, [3, 3, 4, 8]);
  const weight = conv.kernel.permute(3, 2, 0, 1);
  assert.ok(
    weight.contiguous({ memoryFormat: 'channels_last' }).sharesStorage(weight),
    'channels_last already',
  );
});

test('shared layers, nested models, frozen layers', () => {
  const shared = new layers.Dense(3, { name: 'shared' });
  const [a, b] = [keras.Input({ shape: [3] }), keras.Input({ shape: [3] })];
  const twins = new keras.Model({
    inputs: [a, b],
    outputs: new layers.Add().call([shared.call(a), shared.call(b)]),
  });
  assert.equal(twins.countParams(), 12);
  const [x, y] = [randn([2, 3]), randn([2, 3])];
  assert.ok(twins.call([x, y]).allclose(shared.call(x).add(shared.call(y))));

  const base = new keras.Sequential(
    [keras.Input({ shape: [3] }), new layers.Dense(4), new layers.BatchNormalization()],
    { name: 'base' },
  );
  base.trainable = false;
  const whole = new keras.Sequential([
    keras.Input({ shape: [3] }),
    base,
    new layers.Dense(1, { name: 'top' }),
  ]);
  assert.deepEqual(
    whole
      .namedWeights()
      .slice(0, 3)
      .map(([path]) => path),
    ['base/dense/kernel', 'base/dense/bias', 'base/batch_normalization/gamma'],
  );
  assert.deepEqual(
    whole.trainableVariables.map(({ shape }) => shape),
    [[4, 1], [1]],
  );
  const normal = base.layers[1] as keras.layers.BatchNormalization;
  const mean = normal.movingMean.clone();
  whole.call(x, { training: true });
  assert.ok(normal.movingMean.equal(mean), 'frozen statistics stay');
});

test('graphs that make no sense are refused', () => {
  const refused = (message: string, fn: () => unknown) =>
    assert.throws(fn, (error) => error instanceof KerasError && error.message === message);
  const [a, b] = [keras.Input({ shape: [3], name: 'a' }), keras.Input({ shape: [3], name: 'b' })];
  const sum = new layers.Add().call([a, b]);
  refused(
    "Model: the outputs depend on the input 'b', which is not among the inputs",
    () => new keras.Model({ inputs: a, outputs: sum }),
  );
  refused(
    "model 'two': it must have one output, not 2",
    () => new keras.Model({ inputs: [a, b], outputs: [sum, a], name: 'two' }),
  );
  refused("model 'm': inputs and outputs belong together", () => new keras.Model({ inputs: a, name: 'm' }));
  refused('Input: shape must hold whole numbers above 0 or null, not 0', () => keras.Input({ shape: [0] }));
});

test('a model of its own: layers as properties, compute by hand, trained by fit', async () => {
  class Residual extends keras.Model {
    readonly first = new layers.Dense(8, { activation: 'relu' });
    readonly second = new layers.Dense(3);

    protected override compute(x: Tensor, options: { training: boolean }): Tensor {
      return x.add(this.second.call(this.first.call(x, options), options));
    }
  }
  const model = new Residual();
  model.compile({ optimizer: 'adam', loss: 'mse' });
  const { history } = await model.fit({ x: randn([32, 3]), y: ones([32, 3]), epochs: 3, batchSize: 8 });
  assert.ok(history.loss![2]! < history.loss![0]!);
  assert.deepEqual(
    model.namedWeights().map(([path]) => path),
    ['first/kernel', 'first/bias', 'second/kernel', 'second/bias'],
  );
});

test('a training loop by hand: call, scaleLoss, apply', () => {
  const model = new keras.Sequential([keras.Input({ shape: [2] }), new layers.Dense(1)]);
  const optimizer = new keras.optimizers.LossScaleOptimizer(new keras.optimizers.SGD({ learningRate: 0.1 }));
  const loss = new keras.losses.MeanSquaredError();
  const x = arange(8, { dtype: 'float32' }).reshape(4, 2).div(8);
  const y = x.sum(1, true);
  const losses = Array.from({ length: 20 }, () =>
    scope(() => {
      model.zeroGrad();
      const value = loss.call(y, model.call(x, { training: true }));
      optimizer.scaleLoss(value).backward();
      optimizer.apply(
        model.trainableVariables.map(({ grad }) => grad),
        model.trainableVariables,
      );
      return Number(value.item());
    }),
  );
  assert.ok(losses[19]! < losses[0]! / 4, losses.join(' '));
  assert.equal(optimizer.iterations, 20);
});

test('a model is a PyTorch module: its parameters are named by layer', () => {
  const model = new keras.Sequential([
    keras.Input({ shape: [2] }),
    new layers.Dense(1),
    new layers.BatchNormalization(),
  ]);
  assert.ok(model instanceof nn.Module);
  assert.deepEqual(Object.keys(model.stateDict()), [
    'dense.kernel',
    'dense.bias',
    'batch_normalization.gamma',
    'batch_normalization.beta',
    'batch_normalization.moving_mean',
    'batch_normalization.moving_variance',
  ]);
});

test('explain names the layers of a model and the dtypes that their policies give', () => {
  keras.mixedPrecision.setGlobalPolicy('mixed_bfloat16');
  const model = new keras.Sequential([
    keras.Input({ shape: [3] }),
    new layers.Dense(4, { name: 'low' }),
    new layers.Dense(2, { name: 'high', dtype: 'float32' }),
  ]);
  keras.mixedPrecision.setGlobalPolicy('float32');
  const x = ones([2, 3]);
  const { layers: told } = explain({
    model,
    precision: { device: 'cpu', dtype: 'bfloat16' },
    repeats: 1,
    run: () => model.call(x, { training: true }).square().mean(),
  });
  const product = (name: string) =>
    told.find((layer) => layer.name === name)!.ops.find(({ op }) => op === 'aten::matmul');
  assert.deepEqual([product('low')!.out, product('high')!.out], ['bfloat16', 'float32']);
});
