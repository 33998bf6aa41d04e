import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KerasError, type KerasErrorCode, keras } from '@mezzo/keras';
import { ones, setWarningHandler, type Warning, zeros } from '@mezzo/torch';

const { layers } = keras;

function fails(code: KerasErrorCode, message: string, fn: () => unknown, hint?: string): void {
  assert.throws(fn, (error) => {
    assert.ok(error instanceof KerasError, String(error));
    assert.equal(error.message, message);
    assert.equal(error.code, code);
    if (hint !== undefined) assert.equal(error.hint, hint);
    return true;
  });
}

const rejects = (code: KerasErrorCode, message: string, promise: Promise<unknown>, hint?: string) =>
  promise.then(
    () => assert.fail('it must be refused'),
    (error: unknown) =>
      fails(
        code,
        message,
        () => {
          throw error;
        },
        hint,
      ),
  );

function warnings(fn: () => unknown): Warning[] {
  const heard: Warning[] = [];
  const previous = setWarningHandler((warning) => heard.push(warning));
  try {
    fn();
  } finally {
    setWarningHandler(previous);
  }
  return heard;
}

const regression = () =>
  new keras.Sequential([keras.Input({ shape: [3] }), new layers.Dense(1)], { name: 'regression' });

test('unknown ids: the nearest is offered', () => {
  const model = regression();
  const unknown: [message: string, fn: () => unknown][] = [
    [
      "unknown policy 'mixed_floot16'; did you mean 'mixed_float16' or 'mixed_bfloat16'?",
      () => keras.mixedPrecision.setGlobalPolicy('mixed_floot16'),
    ],
    ["unknown activation 'rellu'; did you mean 'relu'?", () => new layers.Dense(1, { activation: 'rellu' })],
    [
      "unknown initializer 'he_norml'; did you mean 'he_normal'?",
      () => new layers.Dense(1, { kernelInitializer: 'he_norml' }).call(ones([1, 2])),
    ],
    [
      "unknown regularizer 'l3'; did you mean 'l1' or 'l2'?",
      () => new layers.Dense(1, { kernelRegularizer: 'l3' }).call(ones([1, 2])),
    ],
    ["unknown optimizer 'adm'; did you mean 'adam'?", () => model.compile({ optimizer: 'adm' })],
    [
      "unknown loss 'sparse_categorical_crossentrpy'; did you mean 'sparse_categorical_crossentropy' or 'categorical_crossentropy'?",
      () => model.compile({ loss: 'sparse_categorical_crossentrpy' }),
    ],
    ["unknown metric 'acuracy'; did you mean 'accuracy'?", () => model.compile({ metrics: ['acuracy'] })],
    [
      "layer 'mine': unknown option 'activaton'; did you mean 'activation'?",
      () => new layers.Dense(1, { name: 'mine', activaton: 'relu' } as object),
    ],
    [
      "Adam: unknown option 'learning_rate'; did you mean 'learningRate'?",
      () => new keras.optimizers.Adam({ learning_rate: 1 } as object),
    ],
    [
      "compile: unknown option 'metric'; did you mean 'metrics'?",
      () => model.compile({ metric: ['mae'] } as object),
    ],
  ];
  for (const [message, fn] of unknown) fails('UNKNOWN_ID', message, fn);
});

test('shapes that do not match: layer, expected, given', () => {
  const input = (...shape: number[]) => keras.Input({ shape });
  const dense = new layers.Dense(4, { name: 'd' });
  dense.call(ones([2, 3]));
  const shapes: [message: string, fn: () => unknown][] = [
    [
      "layer 'd': expected 3 features at the last axis, but the input has shape (null, 5)",
      () => dense.call(ones([2, 5])),
    ],
    [
      "layer 'd': expected 3 features at the last axis, but the input has shape (null, 6)",
      () => dense.call(input(6)),
    ],
    [
      "layer 'c': expected 4 dimensions (batch, rows, columns, channels), but the input has shape (null, 28, 28)",
      () => new layers.Conv2D(4, 3, { name: 'c' }).call(input(28, 28)),
    ],
    [
      "layer 'c': expected at least the kernel's size [3, 3], but the input has shape (null, 2, 8, 1)",
      () => new layers.Conv2D(4, 3, { name: 'c' }).call(input(2, 8, 1)),
    ],
    [
      "layer 'a': expected inputs of the same shape, but the inputs have shapes (null, 2), (null, 3)",
      () => new layers.Add({ name: 'a' }).call([input(2), input(3)]),
    ],
    [
      "layer 'j': expected inputs of the same shape but for axis -1, but the inputs have shapes (null, 4, 2), (null, 5, 2)",
      () => new layers.Concatenate({ name: 'j' }).call([input(4, 2), input(5, 2)]),
    ],
    [
      "layer 'r': expected samples that fill [3, 4], but the input has shape (null, 10)",
      () => new layers.Reshape([3, 4], { name: 'r' }).call(input(10)),
    ],
    [
      "layer 'g': expected channels (the last axis) in 4 equal groups, but the input has shape (null, 6)",
      () => new layers.GroupNormalization({ groups: 4, name: 'g' }).call(input(6)),
    ],
    ["model 'regression': expected 2 weights, but got 1", () => regression().setWeights([ones([3, 1])])],
    [
      "model 'regression': expected dense/kernel of shape (3, 1), but got (1, 3)",
      () => regression().setWeights([ones([1, 3]), zeros([1])]),
    ],
  ];
  for (const [message, fn] of shapes) fails('SHAPE_MISMATCH', message, fn);
});

test('data that cannot be trained on', async () => {
  const model = regression();
  await rejects(
    'NOT_READY',
    "model 'regression': call compile before it is trained or evaluated",
    model.fit({ x: ones([4, 3]), y: ones([4, 1]) }),
  );
  model.compile({ optimizer: 'sgd', loss: 'mse' });
  const x = ones([4, 3]);
  x.narrow(0, 2, 1).fill_(Number.NaN);
  await rejects(
    'BAD_DATA',
    'x: 1 of 4 samples hold NaN or infinity, the first is number 2',
    model.fit({ x, y: ones([4, 1]) }),
    'clean the data, or leave these samples out',
  );
  await rejects(
    'BAD_DATA',
    'y: expected 4 samples as in x, but it has shape (3, 1)',
    model.fit({ x: ones([4, 3]), y: ones([3, 1]) }),
  );
  await rejects(
    'SHAPE_MISMATCH',
    "layer 'dense': expected 3 features at the last axis, but the input has shape (null, 2)".replace(
      'dense',
      model.layers[0]!.name,
    ),
    model.fit({ x: ones([4, 2]), y: ones([4, 1]) }),
  );
  await rejects(
    'SHAPE_MISMATCH',
    "mean_squared_error: expected targets of the predictions' shape (4, 1), but they have shape (4, 3)",
    model.fit({ x: ones([4, 3]), y: ones([4, 3]) }),
  );
  await rejects('BAD_OPTION', 'fit: give the samples as x (and y), or as data', model.fit({}));
  await rejects(
    'BAD_OPTION',
    'verbose: 1 needs a writer, because Mezzo prints nothing by itself',
    model.fit({ x: ones([4, 3]), y: ones([4, 1]), verbose: 1 }),
    'add writer: process.stdout',
  );
  await rejects(
    'BAD_DATA',
    'validationSplit: 0.1 of 4 samples leaves no sample to train on or none to validate on'.replace(
      '0.1',
      '1',
    ),
    model.fit({ x: ones([4, 3]), y: ones([4, 1]), validationSplit: 1 }),
  );
  await rejects(
    'UNKNOWN_ID',
    "fit: unknown option 'batch_size'; did you mean 'batchSize'?",
    model.fit({ x: ones([4, 3]), batch_size: 2 } as object),
  );
  const heard: Warning[] = [];
  const previous = setWarningHandler((warning) => heard.push(warning));
  try {
    await model.predict(x);
  } finally {
    setWarningHandler(previous);
  }
  assert.deepEqual(heard, [
    { code: 'NOT_FINITE', message: 'x: 1 of 4 samples hold NaN or infinity, the first is number 2' },
  ]);
});

test('a float16 softmax at the end warns and names the cure; in the middle or in float32 it does not', () => {
  keras.mixedPrecision.forgetPolicyWarnings();
  const network = (dtype?: string) => {
    const model = new keras.Sequential([
      new layers.Dense(4, { activation: 'softmax' }),
      new layers.Dense(2, { name: 'probabilities', activation: 'softmax', dtype }),
    ]);
    model.compile({ loss: 'mse' });
  };
  keras.mixedPrecision.setGlobalPolicy('mixed_float16');
  try {
    const [policy, ...rest] = warnings(() => network());
    assert.deepEqual(policy, {
      code: 'POLICY_ON_DEVICE',
      message:
        "policy 'mixed_float16' on a CPU: float16 works here, but much slower than float32; " +
        "'mixed_bfloat16' needs no loss scale and is fast on CPUs with native bfloat16",
    });
    assert.deepEqual(rest, [
      {
        code: 'LOW_PRECISION_SOFTMAX',
        message:
          "layer 'probabilities' ends the model with a softmax in float16, whose small probabilities become 0; " +
          "give this layer dtype: 'float32'",
      },
    ]);
    assert.deepEqual(
      warnings(() => network('float32')),
      [],
    );
  } finally {
    keras.mixedPrecision.setGlobalPolicy('float32');
  }
});

test('a policy that a device cannot run: what runs instead', () => {
  const { policyOnDevice, Policy } = keras.mixedPrecision;
  const volta = { type: 'cuda', capability: [7, 0] } as const;
  assert.deepEqual(policyOnDevice(new Policy('mixed_bfloat16'), volta), {
    computeDtype: 'float32',
    warning:
      "policy 'mixed_bfloat16' on a GPU of compute capability 7.0: it has no bfloat16 (8.0 and newer have), " +
      "so layers compute in float32 instead; 'mixed_float16' is fast there from 7.0 on",
  });
  assert.deepEqual(policyOnDevice(new Policy('mixed_float16'), volta), {
    computeDtype: 'float16',
    warning: null,
  });
  const hopper = { type: 'cuda', capability: [9, 0] } as const;
  assert.deepEqual(policyOnDevice(new Policy('mixed_bfloat16'), hopper), {
    computeDtype: 'bfloat16',
    warning: null,
  });
});
