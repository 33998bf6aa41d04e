import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type TrainOptions, YOLO } from '../src/index.ts';
import { nightRuns, train } from './dual-runs.ts';

const { options: base, weights } = nightRuns();

test('easy is mid, and the log says so', async () => {
  const { messages } = await train({ ...base, fusion: 'easy', save: false });
  assert.ok(
    messages.includes('fusion=easy is mid here: two backbones, joined at P3, P4 and P5'),
    String(messages),
  );
});

test('one sensor of the pairs trains and measures a network of one stream', async () => {
  const { model } = await train({ ...base, modality: 'infrared', name: 'infrared' });
  assert.equal(model.modalities, null);
  const best = await YOLO.load(weights('infrared', 'best'));
  const counts = [];
  for (const modality of ['visible', 'infrared'] as const) {
    const report = await best.val({ modality, imgsz: 64, workers: 1, plots: false });
    counts.push(report.summary().perClass.map(({ images, instances }) => ({ images, instances })));
  }
  assert.deepEqual(counts[0], counts[1], 'both sensors have the labels of the pairs');
});

test('weights of two streams are trained on as they are, and take no other fusion', async () => {
  await train({ ...base, fusion: 'gated', ir_channels: 1, name: 'gated' });
  const again = await YOLO.load(weights('gated', 'best'));
  await assert.rejects(again.train({ ...base, fusion: 'mid' }), {
    message: 'fusion=mid with model=best: these weights have a fusion of their own',
    hint: 'leave fusion out to train on from them',
  });
  await again.train({ ...base, name: 'again' });
  assert.deepEqual((await YOLO.load(weights('again', 'best'))).modalities, { rgb: 3, ir: 1 });
});

const WRONG: readonly [what: string, model: string, options: TrainOptions, message: string][] = [
  ['an unknown fusion', 'yolo11n', { fusion: 'midd' }, "unknown fusion 'midd'; did you mean 'mid'?"],
  [
    'other blocks',
    'yolov5n',
    { fusion: 'mid' },
    'fusion=mid with model=yolov5n: there are no streams of such blocks',
  ],
  [
    'one sensor for two streams',
    'yolo11n',
    { fusion: 'mid', modality: 'visible' },
    'modality=visible: the network has two streams and takes pairs',
  ],
  [
    'infrared of two channels',
    'yolo11n',
    { fusion: 'mid', ir_channels: 2 },
    'ir_channels=2: infrared has one channel, or three that are the same',
  ],
];
for (const [what, name, options, message] of WRONG) {
  test(`refused: ${what}`, async () => {
    const model = await YOLO.load(name);
    await assert.rejects(model.train({ ...base, ...options }), { message });
  });
}
