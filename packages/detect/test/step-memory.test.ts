import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GradScaler, keep, manualSeed, memory, randint, setNumThreads } from '@mezzo/torch';
import {
  buildModel,
  buildOptimizer,
  choosePrecision,
  DetectionLoss,
  ModelEma,
  TrainStep,
} from '../src/index.ts';

const STEPS = 200;

function makeStep(amp: 'fp32' | 'bf16' | 'fp16'): TrainStep {
  setNumThreads(1);
  manualSeed(0);
  const precision = choosePrecision(amp, 'cpu', amp !== 'fp32');
  const model = buildModel('yolov8n', { nc: 3 });
  if (precision.channelsLast) model.to({ memoryFormat: 'channels_last' });
  return new TrainStep({
    model: model.train(),
    loss: new DetectionLoss({ nc: 3, strides: model.strides }),
    optimizer: buildOptimizer(model, { name: 'SGD', lr: 1e-3, momentum: 0.9, weightDecay: 5e-4 }),
    ema: new ModelEma(model, model.clone()),
    scaler: new GradScaler({ device: 'cpu', enabled: precision.scaler, initScale: 256 }),
    precision,
    device: 'cpu',
    clip: 10,
  });
}

const ROWS = Float32Array.of(0, 1, 0.5, 0.5, 0.4, 0.6, 1, 2, 0.3, 0.6, 0.5, 0.5);

for (const amp of ['fp32', 'bf16'] as const) {
  test(`${STEPS} training steps in ${amp} leave not one tensor and not one byte behind`, () => {
    const step = makeStep(amp);
    const images = keep(randint(0, 256, [2, 3, 32, 32], { dtype: 'uint8' }));
    const once = () => {
      assert.equal(step.run(() => images, ROWS).applied, true);
    };
    for (let i = 0; i < 3; i++) once();
    // What building the model left behind must not leave in the middle of the count.
    memory.collectGarbage();
    const before = memory.stats();
    for (let i = 0; i < STEPS; i++) once();
    memory.collectGarbage();
    const after = memory.stats();
    assert.equal(after.liveTensors, before.liveTensors);
    assert.equal(after.liveBytes, before.liveBytes);
  });
}

test('a step whose gradients overflow changes neither weights nor average, and leaves nothing behind', () => {
  const step = makeStep('fp32');
  const images = keep(randint(0, 256, [2, 3, 32, 32], { dtype: 'uint8' }));
  const { model, ema, scaler } = {
    ...step.parts,
    scaler: new GradScaler({ device: 'cpu', enabled: true, initScale: 2 ** 127, growthInterval: 1000 }),
  };
  const overflowing = new TrainStep({ ...step.parts, scaler });
  const saved = Object.entries(model.stateDict()).map(([name, tensor]) => [name, tensor.clone()] as const);
  const { applied, culprits } = overflowing.run(() => images, ROWS);
  assert.equal(applied, false);
  assert.ok(culprits.includes('model.0.conv.weight'));
  assert.equal(scaler.getScale(), 2 ** 126);
  assert.equal(ema.updates, 0);
  assert.deepEqual(overflowing.lossState(), { sums: [0, 0, 0], batches: 0 });
  for (const [name, tensor] of saved) assert.ok(model.stateDict()[name]!.eq(tensor).all().item(), name);
});
