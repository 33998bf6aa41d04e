import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { loadSafetensors, scope } from '@mezzo/torch';
import type { TrainEvent } from '../src/engine/event.ts';
import { convertSafetensorsToPt, generateShapes, YOLO } from '../src/index.ts';
import { AnchorDetect } from '../src/models/anchor-detect.ts';
import { assertAllClose, values } from './golden.ts';
import { scratchFolder } from './scratch.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = scratchFolder();
const data = path.join(folder, 'shapes', 'data.yaml');
const base = {
  data,
  project: folder,
  epochs: 1,
  imgsz: 64,
  batch: 4,
  nbs: 4,
  workers: 1,
  device: 'cpu',
  plots: false,
  check: false,
} as const;

before(async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 8, val: 4, imgsz: 64, seed: 3 });
});

for (const [name, losses] of [
  ['yolo11n', 'box,cls,dfl'],
  ['yolov5nu', 'box,cls,dfl'],
  ['yolov5n', 'box,obj,cls'],
] as const) {
  test(`${name}: trains, is measured, predicts, and is the same again from its weights`, async () => {
    const events: TrainEvent[] = [];
    const model = await YOLO.load(name);
    const report = await model.train({ ...base, name, amp: 'bf16', onEvent: (event) => events.push(event) });
    const epoch = events.find((event) => event.event === 'epoch')!;
    assert.equal(Object.keys(epoch.losses).join(), losses);
    for (const loss of [...Object.values(epoch.losses), ...Object.values(epoch.valLosses)]) {
      assert.ok(loss > 0 && Number.isFinite(loss), `${loss}`);
    }
    const header = readFileSync(path.join(report.saveDir!, 'results.csv'), 'utf8').split('\n')[0]!;
    const columns = losses.split(',').map((loss) => `train/${loss}_loss`);
    assert.deepEqual(header.split(',').slice(2, 5), columns);

    const weights = path.join(report.saveDir!, 'weights', 'best.safetensors');
    assert.ok(existsSync(weights));
    const again = await YOLO.load(weights);
    assert.deepEqual((await again.val(valOf(name))).box.map50, (await model.val(valOf(name))).box.map50);
    const options = { imgsz: 64, conf: 0.0001, device: 'cpu' } as const;
    const [a] = await model.predict(path.join(folder, 'shapes', 'images', 'val'), options);
    const [b] = await again.predict(path.join(folder, 'shapes', 'images', 'val'), options);
    assert.ok(a!.boxes.conf.length > 0);
    const pt = path.join(folder, `${name}-weights.pt`);
    await convertSafetensorsToPt(weights, pt);
    const recognised = await YOLO.load(pt);
    assert.equal(recognised.info().name, name);
    const [c] = await recognised.predict(path.join(folder, 'shapes', 'images', 'val'), options);
    assert.deepEqual(c!.boxes.xyxy, a!.boxes.xyxy);
    assert.deepEqual(b!.boxes.xyxy, a!.boxes.xyxy);
  });
}

const valOf = (name: string) =>
  ({
    data,
    imgsz: 64,
    device: 'cpu',
    workers: 1,
    plots: false,
    project: folder,
    name: `val-${name}`,
  }) as const;

test('AutoAnchor of a training: found from its boxes, told, used by model and average, kept with the weights', async () => {
  const texts: string[] = [];
  const onEvent = (event: TrainEvent) => {
    if (event.event === 'message') texts.push(event.text);
  };
  const model = await YOLO.load('yolov5n');
  // With a factor of 1.3 hardly any box is learned by the published anchors.
  const { saveDir } = await model.train({ ...base, name: 'auto', amp: false, anchor_t: 1.3, onEvent });
  assert.ok(
    texts.some((text) => text.startsWith('AutoAnchor: the anchors fit only ')),
    texts.join('\n'),
  );
  const { head } = model.model;
  assert.ok(head instanceof AnchorDetect);
  assert.notDeepEqual(head.pixels[0], [10, 13, 16, 30, 33, 23]);
  scope(() => {
    const saved = loadSafetensors(path.join(saveDir!, 'weights', 'best.safetensors')).tensors;
    assert.deepEqual(values(saved['model.24.anchors']!), values(head.anchors));
  });
});

test('a fused detector finds the same boxes', async () => {
  const pictures = path.join(folder, 'shapes', 'images', 'val');
  const options = { imgsz: 64, conf: 0.0001, device: 'cpu' } as const;
  const model = await YOLO.load('yolo11n');
  const [plain] = await model.predict(pictures, options);
  const [fused] = await model.fuse().predict(pictures, options);
  assert.equal(fused!.boxes.conf.length, plain!.boxes.conf.length);
  assertAllClose(fused!.boxes.xyxy.flat(), plain!.boxes.xyxy.flat(), { abs: 1e-3 }, 'boxes');
});

test('check and explain take a model with anchors', async () => {
  const model = await YOLO.load('yolov5n');
  const options = { data, imgsz: 64, batch: 2, workers: 1, device: 'cpu', amp: 'bf16' } as const;
  const { verdict, numbers } = await model.check(options);
  assert.ok(['sound', 'sound-with-islands'].includes(verdict), verdict);
  assert.ok(Number.isFinite(numbers.gradCosine));
  const { layers } = await model.explain(options);
  assert.ok(layers.length > 24);
});
