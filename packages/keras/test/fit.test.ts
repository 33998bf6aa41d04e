import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keras } from '@mezzo/keras';
import { loadSafetensors, setNumThreads, type Tensor } from '@mezzo/torch';
import { fixturePath, readFixture } from './fixture.ts';

interface Run {
  model: 'dense' | 'conv';
  policy: 'float32' | 'mixed_bfloat16';
  /** Mean loss of the epoch after each step. */
  steps: number[];
  history: Record<string, number[]>;
  /** L2 norm of each weight at the end. */
  norms: number[];
  prediction: number[];
}

interface Half {
  loss: number[];
  scale: number[];
  iterations: number[];
}

// As the numbers were recorded: two threads add up in another order.
setNumThreads(1);

const { runs, half } = readFixture<{ runs: Run[]; half: Half }>('fit.json');
const { tensors } = loadSafetensors(fixturePath('fit.safetensors'));

const { layers } = keras;

const MODELS = {
  dense: () =>
    new keras.Sequential([
      keras.Input({ shape: [10] }),
      new layers.Dense(64, { activation: 'relu' }),
      new layers.BatchNormalization(),
      new layers.Dense(2, { kernelRegularizer: 'l2' }),
    ]),
  conv: () =>
    new keras.Sequential([
      keras.Input({ shape: [12, 12, 3] }),
      new layers.Conv2D(8, 3, { activation: 'relu', padding: 'same' }),
      new layers.BatchNormalization(),
      new layers.MaxPooling2D(),
      new layers.Conv2D(16, 3, { strides: 2, padding: 'same' }),
      new layers.ReLU(),
      new layers.GlobalAveragePooling2D(),
      new layers.Dense(4, { activation: 'softmax', dtype: 'float32' }),
    ]),
};

const COMPILE = {
  dense: { loss: 'mse', metrics: ['mae'] },
  conv: { loss: 'sparse_categorical_crossentropy', metrics: ['accuracy'] },
};

/**
 * Relative. float32: sums in another order. bfloat16 has 8 bits of mantissa (2^-8 = 0.4 % an operation), and CPUs add
 * up its products in different orders; 20 Adam steps carry such differences on. What is measured with the weights
 * after them carries the steps of all weights: ten times as much and more (in float32 1.1e-4 with one thread, 1.9e-5 with two).
 */
const TOLERANCE = { float32: 1e-5, mixed_bfloat16: 1e-2 };
const AFTERWARDS = { float32: 3e-4, mixed_bfloat16: 1e-1 };

/** Relative, to 0.1 at least: a probability near 0 says little. */
function close(
  actual: readonly number[],
  expected: readonly number[],
  tolerance: number,
  what: string,
): void {
  assert.equal(actual.length, expected.length, what);
  actual.forEach((value, i) => {
    const distance = Math.abs(value - expected[i]!) / Math.max(Math.abs(expected[i]!), 0.1);
    assert.ok(distance <= tolerance, `${what}[${i}]: ${value}, Keras ${expected[i]}, ${distance} apart`);
  });
}

for (const run of runs) {
  test(`20 steps of fit as Keras: ${run.model}, ${run.policy}`, async () => {
    keras.mixedPrecision.setGlobalPolicy(run.policy);
    const model = MODELS[run.model]();
    keras.mixedPrecision.setGlobalPolicy('float32');
    const part = (name: string): Tensor => tensors[`${run.model}/${name}`]!;
    model.setWeights(model.weights.map((_, i) => part(`weights/${i}`)));
    model.compile({ optimizer: new keras.optimizers.Adam({ learningRate: 0.01 }), ...COMPILE[run.model] });
    const steps: number[] = [];
    const { history } = await model.fit({
      x: part('x'),
      y: part('y'),
      batchSize: 16,
      epochs: 4,
      shuffle: false,
      validationData: [part('x').narrow(0, 0, 20), part('y').narrow(0, 0, 20)],
      callbacks: [
        new keras.callbacks.LambdaCallback({ onTrainBatchEnd: (_, logs) => void steps.push(logs.loss!) }),
      ],
    });
    close(steps, run.steps, TOLERANCE[run.policy], 'steps');
    assert.deepEqual(Object.keys(history).sort(), Object.keys(run.history).sort());
    for (const [name, values] of Object.entries(run.history)) {
      close(history[name]!, values, (name === 'loss' ? TOLERANCE : AFTERWARDS)[run.policy], name);
    }
    const norms = model.getWeights().map((weight) => Number(weight.norm().item()));
    close(norms, run.norms, AFTERWARDS[run.policy], 'norms');
    const prediction = await model.predict(part('x').narrow(0, 0, 4));
    const values = Array.from(prediction.toTypedArray() as Float32Array);
    close(values, run.prediction, AFTERWARDS[run.policy], 'prediction');
  });
}

test('mixed_float16 as Keras: losses, loss scale and skipped steps', async () => {
  keras.mixedPrecision.setGlobalPolicy('mixed_float16');
  const model = new keras.Sequential([
    keras.Input({ shape: [10] }),
    new layers.Dense(64, { activation: 'relu' }),
    new layers.Dense(2, { dtype: 'float32' }),
  ]);
  keras.mixedPrecision.setGlobalPolicy('float32');
  model.setWeights([0, 1, 6, 7].map((i) => tensors[`dense/weights/${i}`]!));
  const optimizer = new keras.optimizers.LossScaleOptimizer(
    new keras.optimizers.SGD({ learningRate: 0.05 }),
    {
      initialScale: 2 ** 22,
      dynamicGrowthSteps: 4,
    },
  );
  model.compile({ optimizer, loss: 'mse' });
  const scales: number[] = [];
  const iterations: number[] = [];
  const note = new keras.callbacks.LambdaCallback({
    onEpochEnd: () => {
      scales.push(optimizer.dynamicScale);
      iterations.push(optimizer.iterations);
    },
  });
  const { history, skippedSteps } = await model.fit({
    x: tensors['dense/x']!,
    y: tensors['dense/y']!,
    batchSize: 70,
    epochs: half.loss.length,
    shuffle: false,
    callbacks: [note],
  });
  assert.deepEqual(scales, half.scale);
  assert.deepEqual(iterations, half.iterations);
  assert.equal(skippedSteps, half.loss.length - half.iterations.at(-1)!);
  // An epoch whose one step changed nothing has no mean here.
  const applied = iterations.map((count, i) => count > (iterations[i - 1] ?? 0));
  const only = (losses: readonly number[]) => losses.filter((_, i) => applied[i]);
  close(only(history.loss!), only(half.loss), 1e-3, 'loss');
  assert.ok(history.loss!.every((loss, i) => applied[i] || Number.isNaN(loss)));
});
