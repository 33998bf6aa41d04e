import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Recording, recordingText } from '@mezzo/precision';
import type { TrainEvent } from '../src/engine/event.ts';
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
  await assert.rejects(best.val({ missing: 'infrared', imgsz: 64, plots: false }), {
    message: 'missing=infrared: the network has one stream and takes no pairs',
  });
});

test('weights of two streams are trained on as they are, and take no other fusion', async () => {
  await train({ ...base, fusion: 'gated', ir_channels: 1, name: 'gated' });
  const again = await YOLO.load(weights('gated', 'best'));
  await assert.rejects(again.train({ ...base, fusion: 'mid' }), {
    message: 'fusion=mid with model=best: these weights have a fusion of their own',
    hint: 'leave fusion out to train on from them',
  });
  const blind = await again.val({ imgsz: 64, workers: 1, plots: false, missing: 'infrared' });
  assert.equal(blind.summary().perClass.length, 2);
  await again.train({ ...base, name: 'again' });
  assert.deepEqual((await YOLO.load(weights('again', 'best'))).modalities, { rgb: 3, ir: 1 });
});

test('skipped steps, their autopsy and the recorder name the stream', async () => {
  const file = path.join(path.dirname(base.data!), 'recording.json');
  const events: TrainEvent[] = [];
  const model = await YOLO.load('yolo11n');
  await model.train({
    ...base,
    ...{
      fusion: 'mid',
      amp: 'fp16',
      check: false,
      init_scale: 2 ** 30,
      recorder: file,
      autopsy: true,
      nbs: 2,
    },
    ...{ name: 'skips', save: false },
    onEvent: (event) => events.push(event),
  });
  const skip = events.find((event) => event.event === 'skip')!;
  const streams = skip.streams!.join(', ');
  assert.deepEqual([...skip.streams!].sort(), ['fused', 'ir', 'rgb']);
  assert.ok(skip.cause.endsWith(` (streams ${streams})`), skip.cause);
  const autopsy = events.find((event) => event.event === 'autopsy')!;
  assert.equal(autopsy.report.includes('belongs to the stream'), autopsy.stream !== undefined);

  const recording = Recording.from(JSON.parse(readFileSync(file, 'utf8')), file);
  const table = recordingText(recording);
  for (const part of ['rgb', 'ir', 'fused']) {
    assert.ok(recording.parts.includes(part), part);
    assert.match(
      table,
      new RegExp(`^${part}: (headroom -?\\d+|not finite) at least \\(\\w+ of model\\.`, 'm'),
    );
  }
});

test('check tells the ranges of each sensor and stream; explain takes a fusion too', async () => {
  const model = await YOLO.load('yolo11n');
  const options = { data: base.data!, fusion: 'mid', amp: 'bf16', imgsz: 64, batch: 2, workers: 1 } as const;
  const { ranges, model: about } = await model.check(options);
  assert.deepEqual(about, { name: 'mid-yolo11n', channels: 6 });
  const [rgb, ir] = ranges!.pixels;
  assert.deepEqual([rgb!.modality, rgb!.channels, ir!.modality, ir!.channels], ['rgb', 3, 'ir', 3]);
  assert.ok(rgb!.mean < ir!.mean, 'at night there is less light than warmth');
  assert.deepEqual(
    ranges!.streams.map(({ stream, largest, layer }) => [stream, largest > 0, /^model\.\d+$/.test(layer)]),
    [
      ['rgb', true, true],
      ['ir', true, true],
      ['fused', true, true],
    ],
  );
  assert.equal((await model.check({ ...options, fusion: null })).ranges, null);
  const { layers } = await model.explain(options);
  assert.ok(layers.some(({ name }) => name.startsWith('model.45.')));
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
