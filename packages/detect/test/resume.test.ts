import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { generateShapes, MezzoError, type TrainOptions, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-resume-'));
const data = path.join(folder, 'shapes', 'data.yaml');

const options = (name: string): TrainOptions => ({
  data,
  project: folder,
  name,
  epochs: 3,
  imgsz: 64,
  batch: 4,
  workers: 2,
  plots: false,
  close_mosaic: 1,
  amp: 'fp32',
  device: 'cpu',
});

async function train(extra: TrainOptions, stop?: (event: TrainEvent) => boolean): Promise<void> {
  const controller = new AbortController();
  const model = await YOLO.load('yolov8n');
  await model.train({
    ...extra,
    signal: controller.signal,
    onEvent: (event) => {
      if (stop?.(event)) controller.abort();
    },
  });
}

const last = (name: string) => path.join(folder, name, 'weights', 'last.safetensors');

/** The rows of results.csv without their times and memory, which no two runs share. */
function rows(name: string): string[][] {
  const [header = '', ...lines] = readFileSync(path.join(folder, name, 'results.csv'), 'utf8')
    .trim()
    .split('\n');
  const keep = header.split(',').map((column) => !/^time$|epoch_s|peak_mb/.test(column));
  return lines.map((line) => line.split(',').filter((_, i) => keep[i]));
}

before(async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 14, val: 4, imgsz: 64, seed: 1 });
  await train(options('whole'));
});

after(() => rmSync(folder, { recursive: true, force: true }));

const MOMENTS: [string, (event: TrainEvent) => boolean][] = [
  [
    'in the middle of the second epoch',
    (event) => event.event === 'step' && event.epoch === 2 && event.step === 2,
  ],
  [
    'after the first batch of all',
    (event) => event.event === 'step' && event.epoch === 1 && event.step === 1,
  ],
  ['between two epochs', (event) => event.event === 'epoch' && event.epoch === 1],
];

for (const [moment, stop] of MOMENTS) {
  test(`a run that is interrupted ${moment} and resumed ends with the same weights, bit for bit`, async () => {
    const name = moment.replaceAll(' ', '-');
    await assert.rejects(
      train(options(name), stop),
      (error: unknown) => error instanceof MezzoError && error.code === 'INTERRUPTED',
    );
    await train({ resume: last(name) });
    const [whole, resumed] = [await readCheckpoint(last('whole')), await readCheckpoint(last(name))];
    equalTensors(resumed.weights, whole.weights);
    equalTensors(resumed.training!.live, whole.training!.live);
    assert.equal(resumed.training!.state.emaUpdates, whole.training!.state.emaUpdates);
    assert.equal(resumed.training!.state.steps, whole.training!.state.steps);
    assert.deepEqual(rows(name), rows('whole'));
  });
}

test('a finished run has nothing to resume', async () => {
  await assert.rejects(train({ resume: last('whole') }), (error: unknown) => {
    assert.ok(error instanceof MezzoError);
    assert.equal(error.code, 'NOTHING_TO_RESUME');
    assert.equal(error.message, `${last('whole')}: this training is finished, there is nothing to resume`);
    return true;
  });
});

test('without any checkpoint resume says so', async () => {
  const project = path.join(folder, 'empty');
  await assert.rejects(train({ resume: true, project }), (error: unknown) => {
    assert.ok(error instanceof MezzoError);
    assert.equal(error.message, `resume: no run under ${project} has a checkpoint`);
    assert.equal(
      error.hint,
      'a run writes its first checkpoint after its first epoch, or when it is interrupted with Ctrl-C',
    );
    return true;
  });
});
