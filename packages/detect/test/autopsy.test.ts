import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { autopsyText } from '@mezzo/precision';
import {
  GradScaler,
  getRngState,
  keep,
  manualSeed,
  noGrad,
  randint,
  scope,
  setNumThreads,
  type Tensor,
} from '@mezzo/torch';
import {
  buildModel,
  buildOptimizer,
  choosePrecision,
  DetectionLoss,
  ModelEma,
  TrainStep,
} from '../src/index.ts';
import { autopsyOfBatch } from '../src/precision/autopsy.ts';

const ROWS = Float32Array.of(0, 1, 0.5, 0.5, 0.4, 0.6, 1, 2, 0.3, 0.6, 0.5, 0.5);
const PATHS = ['a.jpg', 'b.jpg'];

function makeStep(): TrainStep {
  setNumThreads(1);
  manualSeed(0);
  const precision = choosePrecision('fp16', 'cpu', null);
  const model = buildModel('yolov8n', { nc: 3 });
  model.to({ memoryFormat: 'channels_last' });
  return new TrainStep({
    model: model.train(),
    loss: new DetectionLoss({ nc: 3, strides: model.strides }),
    optimizer: buildOptimizer(model, { name: 'SGD', lr: 1e-3, momentum: 0.9, weightDecay: 5e-4 }),
    ema: new ModelEma(model, model.clone()),
    scaler: new GradScaler({ device: 'cpu', initScale: 256 }),
    precision,
    device: 'cpu',
    clip: 10,
  });
}

const pictures = (): Tensor => keep(randint(0, 256, [2, 3, 32, 32], { dtype: 'uint8' }));

function fingerprint({ model, ema, scaler, optimizer }: TrainStep['parts']): string {
  const hash = createHash('sha256');
  const add = (tensor: Tensor) => {
    const { buffer, byteOffset, byteLength } = tensor.toTypedArray();
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  };
  scope(() => {
    for (const tensor of Object.values(model.stateDict())) add(tensor);
    for (const tensor of Object.values(ema.model.stateDict())) add(tensor);
    for (const { grad } of model.parameters()) grad === null ? hash.update('none') : add(grad);
    const state = (value: unknown): void => {
      if (value === null || typeof value !== 'object') hash.update(String(value));
      else if ('toTypedArray' in value) add(value as Tensor);
      else for (const each of Object.values(value)) state(each);
    };
    state(optimizer.optimizer.stateDict());
  });
  hash.update(JSON.stringify([scaler.stateDict(), ema.updates]));
  hash.update(getRngState());
  return hash.digest('hex');
}

test('an overflow inside YOLOv8n is found, and training goes on as if there had been no autopsy', () => {
  const histories = [false, true].map((withAutopsy) => {
    const step = makeStep();
    const images = pictures();
    const { model } = step.parts;
    step.run(() => images, ROWS);
    // Normalised values times 60000 leave float16.
    const norm = Array.from(model.namedModules()).find(
      ([name]) => name === 'model.15.cv2.bn',
    )![1] as unknown as {
      weight: Tensor;
    };
    const own = keep(norm.weight.detach().clone());
    noGrad(() => norm.weight.fill_(60_000));
    assert.equal(step.run(() => images, ROWS).applied, false);
    if (withAutopsy) {
      const before = fingerprint(step.parts);
      const report = autopsyOfBatch(
        step.parts,
        { images, targets: ROWS, paths: PATHS },
        { scale: 256, learningRate: 1e-3 },
      );
      assert.equal(fingerprint(step.parts), before);
      assert.equal(report.finding, 'beyond-range');
      assert.equal(report.fault?.layer, 'model.15.cv2.bn');
      assert.equal(report.fault?.op, 'aten::batch_norm');
      assert.equal(report.cure?.works, true);
      assert.match(
        autopsyText(report),
        /^Autopsy: a value beyond the range of the precision \(beyond-range\)\n/,
      );
    }
    noGrad(() => norm.weight.copy_(own));
    for (let i = 0; i < 2; i++) step.run(() => images, ROWS);
    return fingerprint(step.parts);
  });
  assert.equal(histories[0], histories[1]);
});

test('a pixel that is not a number is found with its picture', () => {
  const { parts } = makeStep();
  const images = keep(pictures().float().put([1, 2, 30, 20], Number.NaN));
  const batch = { images, targets: ROWS, paths: PATHS };
  const { finding, inputs, cure, fault } = autopsyOfBatch(parts, batch, { scale: 256 });
  assert.equal(finding, 'input-not-finite');
  assert.deepEqual(inputs, [
    {
      name: 'images',
      count: 1,
      index: [1, 2, 30, 20],
      value: 'nan',
      place: 'b.jpg: channel 2, row 30, column 20',
    },
  ]);
  assert.equal(fault?.layer, 'model.0.conv');
  assert.equal(fault?.op, 'aten::conv2d');
  assert.equal(cure?.code, 'fix-data');
  assert.equal(cure?.works, true);
});
