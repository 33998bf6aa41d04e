import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { cuda, loadSafetensors, tensor } from '@mezzo/torch';
import type { TrainEvent } from '../src/engine/event.ts';
import { readEvents } from '../src/engine/events.ts';
import { generateShapes, MezzoError, type TrainOptions, YOLO } from '../src/index.ts';
import { readImage } from '../src/predict/image.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-train-'));
const data = path.join(folder, 'shapes', 'data.yaml');
const base = {
  data,
  project: folder,
  epochs: 2,
  imgsz: 64,
  batch: 4,
  nbs: 4,
  workers: 2,
  device: 'cpu',
} as const;

async function train(options: TrainOptions): Promise<{ events: TrainEvent[]; saveDir: string; model: YOLO }> {
  const events: TrainEvent[] = [];
  const model = await YOLO.load('yolov8n');
  const report = await model.train({ ...base, ...options, onEvent: (event) => events.push(event) });
  return { events, saveDir: report.saveDir!, model };
}

const ofKind = <N extends TrainEvent['event']>(events: TrainEvent[], name: N) =>
  events.filter((event): event is Extract<TrainEvent, { event: N }> => event.event === name);

before(async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 12, val: 4, imgsz: 64, seed: 3 });
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('a run tells what it does and leaves everything a user looks for', async () => {
  const { events, saveDir, model } = await train({ name: 'whole', close_mosaic: 1 });
  const [start] = ofKind(events, 'start');
  assert.equal(start?.saveDir, saveDir);
  assert.equal(start?.device, 'cpu');
  assert.equal(start?.model.params, 3_011_433);
  assert.deepEqual(start?.data.names, ['circle', 'square', 'triangle']);
  assert.equal(ofKind(events, 'step').length, 6);
  const epochs = ofKind(events, 'epoch');
  assert.deepEqual(
    epochs.map(({ epoch }) => epoch),
    [1, 2],
  );
  for (const {
    losses,
    valLosses,
    peakBytes,
    lr,
    imagesPerSecond,
    waitShare,
    phases,
    seconds,
    gpu,
  } of epochs) {
    assert.ok(imagesPerSecond > 0 && waitShare > 0 && waitShare < 1);
    const parts = Object.values(phases);
    assert.ok(parts.length === 5 && parts.every((part) => part > 0));
    assert.ok(parts.reduce((sum, part) => sum + part, 0) <= seconds);
    assert.equal(gpu, undefined);
    for (const loss of [...Object.values(losses), ...Object.values(valLosses)])
      assert.ok(loss > 0 && loss < 100);
    assert.ok(peakBytes > 1e7);
    assert.equal(lr.length, 3);
  }
  const [done] = ofKind(events, 'done');
  assert.equal(done?.epochs, 2);
  assert.equal(events.at(-1), done);
  const pictures = ['BoxF1_curve.png', 'BoxPR_curve.png', 'BoxP_curve.png', 'BoxR_curve.png', 'results.png'];
  const matrices = ['confusion_matrix.png', 'confusion_matrix_normalized.png'];
  const samples = ['labels.jpg', 'train_batch0.jpg', 'val_batch0_labels.jpg', 'val_batch0_pred.jpg'];
  const files = ['args.yaml', 'results.csv', 'events.jsonl', 'precision.json'];
  for (const file of [...pictures, ...matrices, ...samples, ...files])
    assert.ok(existsSync(path.join(saveDir, file)), file);
  const board = readdirSync(saveDir).find((file) => file.startsWith('events.out.tfevents.'))!;
  const curves = readFileSync(path.join(saveDir, board));
  for (const tag of [
    'time/wait_share',
    'pictures/results',
    'pictures/val_batch0_pred',
    'pictures/BoxPR_curve',
  ])
    assert.ok(curves.includes(tag), tag);
  assert.deepEqual(readdirSync(path.join(saveDir, 'weights')).sort(), [
    'best.json',
    'best.safetensors',
    'last.json',
    'last.safetensors',
  ]);
  const header = readFileSync(path.join(saveDir, 'results.csv'), 'utf8').split('\n')[0];
  assert.equal(
    header,
    'epoch,time,train/box_loss,train/cls_loss,train/dfl_loss,metrics/precision(B),metrics/recall(B),metrics/mAP50(B),' +
      'metrics/mAP50-95(B),val/box_loss,val/cls_loss,val/dfl_loss,lr/pg0,lr/pg1,lr/pg2,amp/scale,amp/skipped,mem/peak_mb,time/epoch_s,' +
      'time/images_per_s,time/wait_share,time/data_s,time/forward_s,time/backward_s,time/optimizer_s,time/validation_s',
  );
  const logged = readEvents(path.join(saveDir, 'events.jsonl'));
  assert.deepEqual(
    logged.map(({ event }) => event),
    ['step', 'step', 'step', 'epoch', 'step', 'step', 'step', 'epoch'],
  );
  // Afterwards the detector has the best weights, and knows its data.
  const [best] = await model.predict(path.join(folder, 'shapes/images/val'), { imgsz: 64 });
  assert.equal(best?.width, 64);
  const report = await model.val({ imgsz: 64, plots: false });
  assert.equal(report.box.map, done?.results.map);
});

test('predict takes a path, encoded bytes, pixels, a tensor, and any mixture, with equal results', async () => {
  const model = await YOLO.load(path.join(folder, 'whole/weights/best.safetensors'));
  const file = path.join(folder, 'shapes/images/val/00000.jpg');
  const pixels = await readImage(file);
  const rgb = tensor(pixels.data, { shape: [pixels.height, pixels.width, 3] }).permute([2, 0, 1]);
  const sources = [file, readFileSync(file), pixels, rgb, rgb.unsqueeze(0).float().div(255)];
  const results = await model.predict(sources, { imgsz: 64, conf: 0.0001, max_det: 5 });
  assert.equal(results.length, sources.length);
  for (const { boxes } of results) assert.deepEqual([...boxes], [...results[0]!.boxes]);
  assert.equal(results[0]!.boxes.conf.length, 5);
  await assert.rejects(model.predict(rgb.flatten()), {
    code: 'BAD_IMAGE',
    message: 'a tensor of shape [12288] is no image',
  });
});

test('recipe=8.3 sets its switches and trains', async () => {
  const { saveDir } = await train({ name: 'recipe', recipe: '8.3', epochs: 1, plots: false });
  const written = readFileSync(path.join(saveDir, 'args.yaml'), 'utf8');
  for (const line of [
    'warmup_rule: floor100',
    'inflate: 0',
    'box_bias: 1',
    'match: iou',
    'ap_end: slope',
    'fitness: weighted',
  ]) {
    assert.ok(written.includes(`${line}\n`), line);
  }
});

test('the weights are readable by any safetensors reader, under the published names', async () => {
  const { tensors } = await loadSafetensors(path.join(folder, 'whole/weights/best.safetensors'));
  assert.equal(Object.keys(tensors).length, 355);
  assert.deepEqual(tensors['model.22.cv3.0.2.weight']?.shape, [3, 64, 1, 1]);
});

test('amp=fp16 scales the loss; an overflow is a skip event, a skip in results.csv, and a lower scale', async () => {
  const { events, saveDir } = await train({
    name: 'fp16',
    amp: 'fp16',
    init_scale: 2 ** 40,
    epochs: 1,
    plots: false,
  });
  const skips = ofKind(events, 'skip');
  assert.ok(skips.length > 0);
  assert.equal(skips[0]?.scale, 2 ** 40);
  const [epoch] = ofKind(events, 'epoch');
  assert.equal(epoch?.skipped, skips.length);
  assert.equal(epoch?.scale, 2 ** (40 - skips.length));
  const row = readFileSync(path.join(saveDir, 'results.csv'), 'utf8').split('\n')[1]!.split(',');
  assert.equal(Number(row[16]), skips.length);
});

test('cache=ram trains, and freeze leaves frozen layers as they were', async () => {
  const { saveDir } = await train({ name: 'first', epochs: 1, plots: false, cache: 'ram' });
  const weights = path.join(saveDir, 'weights', 'last.safetensors');
  const before = (await loadSafetensors(weights)).tensors;
  const model = await YOLO.load(weights);
  const { saveDir: frozen } = await model.train({
    ...base,
    name: 'frozen',
    epochs: 1,
    plots: false,
    freeze: 10,
  });
  const trained = (await loadSafetensors(path.join(frozen!, 'weights', 'last.safetensors'))).tensors;
  const same = (name: string) => trained[name]!.eq(before[name]!).all().item();
  for (const name of ['model.0.conv.weight', 'model.9.cv2.bn.weight', 'model.4.cv1.bn.running_mean']) {
    assert.equal(same(name), true, name);
  }
  assert.equal(same('model.22.cv2.0.0.conv.weight'), false);
});

test('the same seed gives the same weights, another seed others', async () => {
  const weightsOf = async (name: string, seed: number) => {
    const { saveDir } = await train({ name, seed, epochs: 1, plots: false });
    return (await loadSafetensors(path.join(saveDir, 'weights', 'last.safetensors'))).tensors[
      'model.0.conv.weight'
    ]!;
  };
  const [a, b, c] = [await weightsOf('a', 7), await weightsOf('b', 7), await weightsOf('c', 8)];
  assert.equal(a.eq(b).all().item(), true);
  assert.equal(a.eq(c).all().item(), false);
});

test('time= sets the number of epochs, and ends the run', async () => {
  const { events } = await train({ name: 'time', time: 3 / 3600, epochs: 1, plots: false });
  const [done] = ofKind(events, 'done');
  assert.equal(done?.stopped, 'time');
  assert.ok(done.seconds >= 3);
  assert.equal(ofKind(events, 'epoch').at(-1)?.epoch, done.epochs);
});

test('the same on a GPU: fp16 with the loss scaler by default', {
  skip: cuda.isAvailable() ? false : 'needs a CUDA device',
}, async () => {
  const { events } = await train({ name: 'gpu', device: 0, epochs: 2, plots: false });
  const [start] = ofKind(events, 'start');
  assert.deepEqual([start?.device, start?.amp.dtype, start?.scaler], ['cuda:0', 'float16', true]);
  for (const { losses, peakBytes } of ofKind(events, 'epoch')) {
    for (const loss of Object.values(losses)) assert.ok(loss > 0 && loss < 100);
    assert.ok(peakBytes > 1e7);
  }
});

test('nothing is written when the settings or the data are wrong', async () => {
  const project = path.join(folder, 'nothing');
  const wrong: [TrainOptions, string][] = [
    [{ data: path.join(folder, 'none.yaml') }, 'BAD_DATA'],
    [{ device: '3' }, 'NO_SUCH_DEVICE'],
    [{ freeze: [99] }, 'BAD_OPTION'],
    [{ imgsz: 5 }, 'BAD_OPTION'],
  ];
  for (const [options, code] of wrong) {
    await assert.rejects(
      train({ project, ...options }),
      (error: unknown) => error instanceof MezzoError && error.code === code,
    );
  }
  assert.equal(existsSync(project), false);
});
