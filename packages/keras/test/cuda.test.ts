import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keras } from '@mezzo/keras';
import { cuda, manualSeed, memory, randn } from '@mezzo/torch';

const { layers } = keras;

const onCuda = { skip: cuda.isAvailable() ? false : 'needs a CUDA device' };

for (const policy of ['float32', 'mixed_bfloat16', 'mixed_float16']) {
  test(
    `a GPU, ${policy}: a convolutional model learns, and no step leaves a tensor behind`,
    onCuda,
    async () => {
      manualSeed(0);
      keras.config.setDevice('cuda:0');
      keras.mixedPrecision.setGlobalPolicy(policy);
      const model = new keras.Sequential([
        keras.Input({ shape: [8, 8, 2] }),
        new layers.Conv2D(8, 3, { activation: 'relu', padding: 'same' }),
        new layers.BatchNormalization({ momentum: 0.9 }),
        new layers.GlobalAveragePooling2D(),
        new layers.Dense(1, { dtype: 'float32' }),
      ]);
      keras.mixedPrecision.setGlobalPolicy('float32');
      keras.config.setDevice(null);
      model.compile({
        optimizer: new keras.optimizers.Adam({ learningRate: 0.01 }),
        loss: 'mse',
        metrics: ['mae'],
      });
      const x = randn([64, 8, 8, 2]);
      const y = x.square().mean([1, 2]).sum(1, true);
      const live: number[] = [];
      const { history } = await model.fit({
        x,
        y,
        batchSize: 16,
        epochs: 12,
        callbacks: [
          new keras.callbacks.LambdaCallback({
            onEpochEnd: () => void live.push(memory.stats().liveTensors),
          }),
        ],
      });
      assert.ok(history.loss!.at(-1)! < history.loss![0]! / 4, history.loss!.join(' '));
      assert.deepEqual(live.slice(2), Array(10).fill(live[1]));
      assert.ok(model.weights.every(({ device }) => device === 'cuda:0'));
      assert.equal((await model.predict(x)).device, 'cpu');
    },
  );
}
