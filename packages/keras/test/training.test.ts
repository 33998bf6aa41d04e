import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { keras } from '@mezzo/keras';
import { memory, ones, randn, type Tensor, tensor, zeros } from '@mezzo/torch';

const { layers, callbacks } = keras;
const folder = mkdtempSync(join(tmpdir(), 'mezzo-keras-'));
after(() => rmSync(folder, { recursive: true }));

/** One weight, which one step of rate 0.5 moves to what makes y. */
function tiny(options: Partial<Parameters<keras.Model['compile']>[0]> = {}): keras.Sequential {
  const model = new keras.Sequential([
    keras.Input({ shape: [1] }),
    new layers.Dense(1, { useBias: false, kernelInitializer: 'zeros' }),
  ]);
  model.compile({ optimizer: new keras.optimizers.SGD({ learningRate: 0.5 }), loss: 'mse', ...options });
  return model;
}

/** A writer that remembers. */
const memo = (isTTY = false) => {
  const texts: string[] = [];
  return { isTTY, texts, write: (text: string) => texts.push(text) };
};

/** Durations differ from run to run. */
const untimed = (text: string) => text.replace(/\d+s\b/g, 'Ns').replace(/[\d.]+m?s\/step/g, 'Nms/step');

test('history, validation split from the end, batches of the size asked for', async () => {
  const model = tiny({ metrics: ['mae'] });
  const seen: [batch: number, loss: number][] = [];
  const { history, epoch } = await model.fit({
    x: ones([10, 1]),
    y: tensor([...Array(8).fill(1), 3, 3] as number[], { shape: [10, 1] }),
    batchSize: 4,
    epochs: 2,
    shuffle: false,
    validationSplit: 0.2,
    callbacks: [
      new callbacks.LambdaCallback({ onTrainBatchEnd: (batch, logs) => void seen.push([batch, logs.loss!]) }),
    ],
  });
  // The first batch moves the weight from 0 to 1, where the loss of both kinds is 0 and validation's is 2².
  assert.deepEqual(history, { loss: [0.5, 0], mae: [0.5, 0], val_loss: [4, 4], val_mae: [2, 2] });
  assert.deepEqual(epoch, [0, 1]);
  assert.deepEqual(seen, [
    [0, 1],
    [1, 0.5],
    [0, 0],
    [1, 0],
  ]);
});

test('sample weights and class weights weigh the loss', async () => {
  const x = ones([4, 1]);
  const y = tensor([0, 1, 1, 0], { shape: [4, 1] });
  const loss = async (options: object) => {
    const model = tiny({ optimizer: new keras.optimizers.SGD({ learningRate: 0 }) });
    return (await model.fit({ x, y, shuffle: false, ...options })).history.loss![0];
  };
  assert.equal(await loss({}), 0.5);
  assert.equal(await loss({ sampleWeight: tensor([1, 1, 3, 1]) }), 1);
  assert.equal(await loss({ classWeight: { 1: 4 } }), 2);
});

test('shuffle: another order each epoch, the same for the same seed; data gives batches of its own', async () => {
  const orders = async () => {
    keras.utils.setRandomSeed(7);
    const seen: number[] = [];
    class Spy extends layers.Activation {
      protected override compute(x: Tensor): Tensor {
        seen.push(...(x.detach().toTypedArray() as Float32Array));
        return x;
      }
    }
    const model = new keras.Sequential([keras.Input({ shape: [1] }), new Spy(null), new layers.Dense(1)]);
    model.compile({ optimizer: 'sgd', loss: 'mse' });
    await model.fit({
      x: tensor([0, 1, 2, 3, 4, 5], { shape: [6, 1] }),
      y: zeros([6, 1]),
      batchSize: 4,
      epochs: 2,
    });
    return [seen.slice(0, 6), seen.slice(6)];
  };
  const [first, second] = await orders();
  assert.notDeepEqual(first, second);
  assert.deepEqual(first!.toSorted(), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(await orders(), [first, second]);

  const model = tiny();
  const batches = [
    [ones([2, 1]), ones([2, 1])],
    [ones([1, 1]), ones([1, 1])],
  ] as const;
  const { history } = await model.fit({ data: batches, epochs: 2, validationData: { data: batches } });
  assert.deepEqual(history.val_loss, [0, 0]);
  await assert.rejects(
    model.fit({ data: [][Symbol.iterator]() }),
    /^KerasError: data: no batches in epoch 1$/,
  );
});

test('EarlyStopping ends training and brings the best weights back; ModelCheckpoint keeps each', async () => {
  const model = tiny();
  const stop = new callbacks.EarlyStopping({ monitor: 'loss', patience: 2, restoreBestWeights: true });
  // Rates above 1 make the weight swing further each time: the first epoch stays the best.
  model.compiled.optimizer.learningRate = 1.5;
  const { history } = await model.fit({
    x: ones([1, 1]),
    y: ones([1, 1]),
    epochs: 9,
    callbacks: [stop, new callbacks.ModelCheckpoint(join(folder, 'w-{epoch:02d}-{loss:.1f}.safetensors'))],
  });
  assert.deepEqual(history.loss, [1, 4, 16]);
  assert.equal(stop.stoppedEpoch, 2);
  assert.equal(stop.best, 1);
  assert.equal(model.getWeights()[0]!.item(), 3);
  assert.deepEqual(
    readdirSync(folder)
      .filter((name) => name.startsWith('w-'))
      .sort(),
    ['w-01-1.0.safetensors', 'w-02-4.0.safetensors', 'w-03-16.0.safetensors'],
  );
  const best = join(folder, 'best.safetensors');
  const again = tiny();
  await again.fit({
    x: ones([1, 1]),
    y: ones([1, 1]),
    epochs: 2,
    callbacks: [new callbacks.ModelCheckpoint(best, { monitor: 'loss', saveBestOnly: true })],
  });
  again.loadWeights(best);
  assert.equal(again.getWeights()[0]!.item(), 1);
  await assert.rejects(
    tiny().fit({ x: ones([1, 1]), y: ones([1, 1]), callbacks: [new callbacks.EarlyStopping()] }),
    /^KerasError: there is no 'val_loss' to monitor; the logs have loss$/,
  );
});

test('TerminateOnNaN ends a training in which no step can be applied; the weights are whole', async () => {
  const model = tiny();
  // The squared error of such a target is no float32.
  const { history, skippedSteps } = await model.fit({
    x: ones([2, 1]),
    y: ones([2, 1]).mul(1e30),
    epochs: 5,
    callbacks: [new callbacks.TerminateOnNaN()],
  });
  assert.deepEqual(history.loss, [Number.NaN]);
  assert.equal(skippedSteps, 1);
  assert.equal(model.getWeights()[0]!.item(), 0);
});

test('learning rates by epoch and on a plateau', async () => {
  const model = tiny({ optimizer: new keras.optimizers.SGD({ learningRate: 0.1 }) });
  const rates: number[] = [];
  const record = new callbacks.LambdaCallback({
    onEpochEnd: () => void rates.push(model.compiled.optimizer.learningRate),
  });
  const data = { x: zeros([1, 1]), y: ones([1, 1]) };
  await model.fit({
    ...data,
    epochs: 3,
    callbacks: [new callbacks.LearningRateScheduler((_, rate) => rate / 2), record],
  });
  assert.deepEqual(rates.splice(0), [0.05, 0.025, 0.0125]);
  model.compiled.optimizer.learningRate = 1;
  const plateau = new callbacks.ReduceLROnPlateau({ monitor: 'loss', factor: 0.5, patience: 2, minLr: 0.3 });
  await model.fit({ ...data, epochs: 8, callbacks: [plateau, record] });
  assert.deepEqual(rates, [1, 1, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]);
});

test('files: CSV rows and TensorBoard records', async () => {
  const csv = join(folder, 'log.csv');
  const logDir = join(folder, 'board');
  await tiny({ metrics: ['mae'] }).fit({
    x: ones([2, 1]),
    y: ones([2, 1]),
    epochs: 2,
    validationData: [ones([2, 1]), ones([2, 1])],
    callbacks: [new callbacks.CSVLogger(csv), new callbacks.TensorBoard({ logDir, updateFreq: 'batch' })],
  });
  assert.equal(readFileSync(csv, 'utf8'), 'epoch,loss,mae,val_loss,val_mae\n0,1,1,0,0\n1,0,0,0,0\n');
  const text = (run: string) => {
    const [file] = readdirSync(join(logDir, run));
    assert.match(file!, /^events\.out\.tfevents\./);
    return readFileSync(join(logDir, run, file!), 'latin1');
  };
  for (const tag of ['epoch_loss', 'epoch_mae', 'epoch_learning_rate', 'batch_loss'])
    assert.ok(text('train').includes(tag));
  assert.ok(text('validation').includes('epoch_loss') && !text('validation').includes('val_'));
});

test('progress goes to the writer only: a line an epoch, or a bar on a terminal', async () => {
  const lines = memo();
  const data = { x: ones([4, 1]), y: ones([4, 1]) };
  const model = tiny({ metrics: ['mae'] });
  await model.fit({ ...data, batchSize: 2, epochs: 2, writer: lines, validationData: [data.x, data.y] });
  assert.deepEqual(lines.texts.map(untimed), [
    'Epoch 1/2\n',
    '2/2 - Ns - Nms/step - loss: 0.5000 - mae: 0.5000 - val_loss: 0.0000 - val_mae: 0.0000\n',
    'Epoch 2/2\n',
    '2/2 - Ns - Nms/step - loss: 0.0000 - mae: 0.0000 - val_loss: 0.0000 - val_mae: 0.0000\n',
  ]);
  const bar = memo(true);
  await model.evaluate({ ...data, batchSize: 2, writer: bar });
  assert.deepEqual(bar.texts.map(untimed), [
    '\r1/2 ━━━━━━━━━━────────── Ns Nms/step - loss: 0.0000 - mae: 0.0000',
    '\r2/2 ━━━━━━━━━━━━━━━━━━━━ Ns Nms/step - loss: 0.0000 - mae: 0.0000\n',
  ]);
  const silent = memo();
  await model.fit({ ...data, verbose: 0, writer: silent });
  assert.deepEqual(silent.texts, []);
});

test('an abort ends training between two steps', async () => {
  const controller = new AbortController();
  let batches = 0;
  const stop = new callbacks.LambdaCallback({
    onTrainBatchBegin: () => {
      batches += 1;
      if (batches === 3) controller.abort(new Error('enough'));
    },
  });
  const options = {
    x: ones([8, 1]),
    y: ones([8, 1]),
    batchSize: 1,
    callbacks: [stop],
    signal: controller.signal,
  };
  await assert.rejects(tiny().fit(options), /enough/);
  assert.equal(batches, 3);
});

test('no tensor is left over from a step, an evaluation or a prediction', async () => {
  const model = new keras.Sequential([
    keras.Input({ shape: [6, 6, 2] }),
    new layers.Conv2D(4, 3),
    new layers.BatchNormalization(),
    new layers.Flatten(),
    new layers.Dense(3, { activation: 'softmax' }),
  ]);
  model.compile({ optimizer: 'adam', loss: 'sparse_categorical_crossentropy', metrics: ['accuracy'] });
  const data = { x: randn([12, 6, 6, 2]), y: zeros([12]) };
  const live: number[] = [];
  const count = new callbacks.LambdaCallback({
    onEpochEnd: () => void live.push(memory.stats().liveTensors),
  });
  await model.fit({ ...data, batchSize: 4, epochs: 6, callbacks: [count] });
  assert.deepEqual(live.slice(2), Array(4).fill(live[1]));
  const before = memory.stats().liveTensors;
  await model.evaluate(data);
  (await model.predict(data.x)).dispose();
  assert.equal(memory.stats().liveTensors, before);
});
