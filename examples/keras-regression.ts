/**
 * The introductory regression as Keras writes it: a policy, two Dense layers, compile and fit. In float16 the policy
 * brings the loss scale with it.
 *
 *     ./mezzo example keras-regression
 */
import { keras } from '@mezzo/keras';
import { randn, type Tensor } from '@mezzo/torch';
import type { Lesson, Run } from './lesson.ts';

const SAMPLES = 2048;
const BATCH = 32;
const EPOCHS = 12;
const NOISE = 0.05; // standard deviation of what cannot be learned
const POLICY = { float32: 'float32', bfloat16: 'mixed_bfloat16', float16: 'mixed_float16' } as const;

/** The hidden layer computes as the policy says; the last one in float32, so that its error is not rounded. */
export function network(dtype: Run['dtype']): keras.Sequential {
  keras.mixedPrecision.setGlobalPolicy(POLICY[dtype]);
  return new keras.Sequential([
    keras.Input({ shape: [10] }),
    new keras.layers.Dense(64, { activation: 'relu' }),
    new keras.layers.Dense(10, { dtype: 'float32' }),
  ]);
}

async function train({ dtype, device, progress }: Run) {
  keras.config.setDevice(device);
  const truth = randn([10, 10], { device });
  const sample = (count: number) => {
    const x = randn([count, 10], { device });
    const y = x.matmul(truth).relu(); // a map that a single linear layer cannot learn
    return { x, y: y.add(randn([count, 10], { device }).mul(NOISE)) };
  };
  const heldOut = sample(1000);

  const model = network(dtype);
  const optimizer = new keras.optimizers.Adam({
    learningRate: keras.optimizers.schedules.cosineDecay({
      initialLearningRate: 0.01,
      decaySteps: EPOCHS * (SAMPLES / BATCH),
    }),
  });
  model.compile({ optimizer, loss: 'mse' }); // under mixed_float16 wrapped in a LossScaleOptimizer

  const untrained = explainedVariance(heldOut.y, await model.predict(heldOut.x));
  const { history, skippedSteps } = await model.fit({
    ...sample(SAMPLES),
    batchSize: BATCH,
    epochs: EPOCHS,
    callbacks: [new keras.callbacks.LambdaCallback({ onEpochEnd: (epoch) => progress(epoch + 1, EPOCHS) })],
  });
  const trained = explainedVariance(heldOut.y, await model.predict(heldOut.x));
  return { untrained, trained, loss: history.loss!.at(-1)!, skippedSteps };
}

/** 1 - error / variance: 1 is perfect, 0 is no better than the mean. */
function explainedVariance(target: Tensor, predicted: Tensor): number {
  const y = target.cpu(); // where predict puts what it gives
  const error = y.sub(predicted).pow(2).mean();
  const variance = y.sub(y.mean(0)).pow(2).mean();
  return 1 - Number(error.div(variance).item());
}

export const lesson: Lesson = {
  about: 'The introductory regression in Keras: Dense(64, relu), Dense(10), compile and fit under a policy.',
  source: 'Keras, guide "Mixed precision" (keras.io/api/mixed_precision)',
  measure: 'explained variance',
  goal: 0.99,
  train,
};
