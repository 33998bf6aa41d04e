import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GradScaler, keep, manualSeed, memory, noGrad, setNumThreads, type Tensor } from '@mezzo/torch';
import { streamOf } from '../src/fusion/streams.ts';
import {
  buildOptimizer,
  choosePrecision,
  DetectionLoss,
  ModelEma,
  syntheticBatch,
  TrainStep,
} from '../src/index.ts';
import { autopsyOfBatch } from '../src/precision/autopsy.ts';
import { dualModel } from './fusion.ts';

setNumThreads(1);

const batch = syntheticBatch(2, 4, 64, 3);
keep(batch.images);

function makeStep(fusion: string, amp: 'fp32' | 'bf16'): TrainStep {
  manualSeed(0);
  const precision = choosePrecision(amp, 'cpu', amp !== 'fp32');
  const model = dualModel({ fusion });
  if (precision.channelsLast) model.to({ memoryFormat: 'channels_last' });
  return new TrainStep({
    model: model.train(),
    loss: new DetectionLoss({ nc: 3, strides: model.strides }),
    optimizer: buildOptimizer(model, { name: 'AdamW', lr: 2e-3, momentum: 0.9, weightDecay: 5e-4 }),
    ema: new ModelEma(model, model.clone()),
    scaler: new GradScaler({ device: 'cpu', enabled: precision.scaler, initScale: 256 }),
    precision,
    device: 'cpu',
    clip: 10,
  });
}

for (const fusion of ['early', 'mid', 'decision', 'gated', 'cross-attention']) {
  test(`${fusion}: training steps in bf16 are applied, move every stream, and leave nothing behind`, () => {
    const step = makeStep(fusion, 'bf16');
    const { model } = step.parts;
    const head = `model.${model.description.layers.length - 1}.`;
    const before = Array.from(model.namedParameters(), ([name, weight]) => [name, weight.clone()] as const);
    const once = () => assert.equal(step.run(() => batch.images, batch.rows).applied, true);
    for (let i = 0; i < 2; i++) once();
    memory.collectGarbage();
    const { liveTensors, liveBytes } = memory.stats();
    for (let i = 0; i < 4; i++) once();
    memory.collectGarbage();
    assert.deepEqual([memory.stats().liveTensors, memory.stats().liveBytes], [liveTensors, liveBytes]);
    const now = new Map(model.namedParameters());
    // A level of the head learns boxes only where the batch has one for it.
    const still = before.filter(([name, weight]) => now.get(name)!.equal(weight) && !name.startsWith(head));
    assert.deepEqual(still, []);
  });
}

test('culprits of a skipped step lie in the stream that overflowed, and the autopsy names it', () => {
  const step = makeStep('mid', 'fp32');
  const { model, loss } = step.parts;
  // An overflow on the way back of infrared: its last layer.
  const last = model.description.layers.findLastIndex(
    ({ index, module }) => module === 'C2PSA' && streamOf(model.description, `model.${index}`) === 'ir',
  );
  const planted = model.model.at(last);
  planted.aroundForward((proceed, inputs) => {
    const out = proceed(...inputs) as Tensor;
    // Forward as it was; backward 1e30 · 1e30.
    return out.add(out.sub(out.detach()).mul(1e30).mul(1e30));
  });
  const { applied, culprits } = step.run(() => batch.images, batch.rows);
  assert.equal(applied, false);
  assert.deepEqual([...new Set(culprits.map((name) => streamOf(model.description, name)))], ['ir']);
  const report = autopsyOfBatch(
    { model, loss, device: 'cpu', precision: choosePrecision('fp32', 'cpu', false) },
    { images: batch.images, targets: batch.rows, paths: ['a', 'b'] },
    { scale: 1 },
  );
  noGrad(() => assert.match(JSON.stringify(report), new RegExp(`model\\.${last}\\b`)));
});

test('NaN in the forward pass of one stream: the autopsy names the op, the layer and the stream', () => {
  const { model, loss } = makeStep('mid', 'fp32').parts;
  const last = model.description.layers.findLastIndex(
    ({ index, module }) => module === 'C2PSA' && streamOf(model.description, `model.${index}`) === 'ir',
  );
  model.model.at(last).aroundForward((proceed, inputs) => (proceed(...inputs) as Tensor).abs().neg().log());
  const { fault } = autopsyOfBatch(
    { model, loss, device: 'cpu', precision: choosePrecision('fp32', 'cpu', false) },
    { images: batch.images, targets: batch.rows, paths: ['a', 'b'] },
    { scale: 1 },
  );
  assert.deepEqual([fault!.op, fault!.layer], ['aten::log', `model.${last}`]);
  assert.equal(streamOf(model.description, fault!.layer!), 'ir');
});
