/** YOLOv5's `hyp.*.yaml`: the keys that mean the same, those that mean something else, and those that are refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMAND_LINE_OPTIONS, joinLayers, parseWords, Spellings } from '../src/config/index.ts';
import { AnchorLoss } from '../src/loss/anchor.ts';
import { foreignGain, lossOf } from '../src/loss/loss-of.ts';
import { buildModel } from '../src/models/build.ts';
import { scratchFolder, write } from './scratch.ts';

const folder = scratchFolder();
const spellings = new Spellings(COMMAND_LINE_OPTIONS);
const options = (...words: string[]) => joinLayers('train', parseWords(words, spellings).assignments);

/** The keys and values of YOLOv5's settings for training from scratch with little augmentation. */
const LOW = {
  lr0: 0.01,
  lrf: 0.01,
  momentum: 0.937,
  weight_decay: 0.0005,
  warmup_epochs: 3.0,
  warmup_momentum: 0.8,
  warmup_bias_lr: 0.1,
  box: 0.05,
  cls: 0.5,
  cls_pw: 1.0,
  obj: 1.0,
  obj_pw: 1.0,
  iou_t: 0.2,
  anchor_t: 4.0,
  fl_gamma: 0.0,
  hsv_h: 0.015,
  hsv_s: 0.7,
  hsv_v: 0.4,
  degrees: 0.0,
  translate: 0.1,
  scale: 0.5,
  shear: 0.0,
  perspective: 0.0,
  flipud: 0.0,
  fliplr: 0.5,
  mosaic: 1.0,
  mixup: 0.0,
  copy_paste: 0.0,
};

let files = 0;
const hyp = (changes: Record<string, number> = {}) =>
  write(
    folder,
    `hyp${files++}.yaml`,
    Object.entries({ ...LOW, ...changes })
      .map(([key, value]) => `${key}: ${value}  # comment\n`)
      .join(''),
  );

test('the settings for little augmentation are the defaults here, with the optimizer of YOLOv5', async () => {
  assert.deepEqual(await options('--hyp', hyp()), { optimizer: 'SGD' });
  assert.deepEqual(await options('--hyp', hyp({ anchors: 3 }), 'optimizer=AdamW'), { optimizer: 'AdamW' });
});

test('keys reach the options of their names', async () => {
  const changes = { lrf: 0.1, cls: 0.3, obj: 0.7, box: 0.02, anchor_t: 3.5, scale: 0.9, mixup: 0.1 };
  assert.deepEqual(await options('--hyp', hyp(changes)), { optimizer: 'SGD', ...changes });
});

test('keys without a counterpart are accepted at the value that does nothing, and refused otherwise', async () => {
  const refusals: [Record<string, number>, number, string][] = [
    [{ fl_gamma: 1.5 }, 15, 'fl_gamma=1.5: there is no focal loss'],
    [{ obj_pw: 0.7 }, 12, 'obj_pw=0.7: objects and background count alike in the objectness loss'],
    [{ iou_t: 0.3 }, 13, 'iou_t=0.3: boxes are given to anchors by anchor_t, not by their overlap'],
    [{ cls_pw: 0.5 }, 10, 'cls_pw=0.5: the presence of a class is not weighted in the class loss'],
    [
      { anchors: 4 },
      29,
      'anchors=4: a network has as many anchors as its description says, and AutoAnchor keeps to it',
    ],
    [{ copy_paste: 0.1 }, 28, 'copy_paste=0.1: copying objects needs masks, and Mezzo trains on boxes'],
  ];
  for (const [changes, line, message] of refusals) {
    const file = hyp(changes);
    await assert.rejects(options('--hyp', file), {
      code: 'UNSUPPORTED_OPTION',
      message: `${file}:${line}: ${message}`,
    });
  }
});

test('a file of Ultralytics 8 keeps its own optimizer and gains', async () => {
  const file = write(folder, 'ultralytics.yaml', 'lr0: 0.02\nbox: 7.0\ncls_pw: 1\n');
  assert.deepEqual(await options('--hyp', file), { lr0: 0.02, box: 7, cls_pw: 1 });
});

test('the gain of boxes is that of the head: with anchors as in the file, without them told to be odd', () => {
  const settings = { imgsz: 640, cls: 0.5, dfl: 1.5, obj: 1, anchor_t: 4, inflate: 16 };
  const anchors = buildModel('yolov5n', { nc: 3 });
  const free = buildModel('yolov8n', { nc: 3 });
  const gain = (box: number) => {
    const loss = lossOf(anchors, { ...settings, box });
    assert.ok(loss instanceof AnchorLoss);
    return loss.gains.box;
  };
  assert.deepEqual([gain(7.5), gain(0.02)], [0.05, 0.02]);
  assert.equal(foreignGain(anchors, { box: 0.02 }), null);
  assert.equal(foreignGain(free, { box: 7.5 }), null);
  assert.equal(
    foreignGain(free, { box: 0.02 }),
    "box=0.02 is a gain for YOLOv5's networks with anchors; this network has none, and 7.5 is its default",
  );
});
