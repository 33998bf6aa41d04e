/** Resume bit for bit at one thread with every augmentation on, whose draws must not depend on where a run began. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, test } from 'node:test';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { generateShapes, MezzoError, type TrainOptions, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';
import { scratchFolder } from './scratch.ts';

process.env.OMP_NUM_THREADS = '1';

const folder = scratchFolder();

const EVERYTHING: TrainOptions = {
  mosaic: 0.7,
  mixup: 0.6,
  cutmix: 0.6,
  degrees: 15,
  translate: 0.2,
  scale: 0.6,
  shear: 8,
  perspective: 0.0004,
  hsv_h: 0.05,
  hsv_s: 0.7,
  hsv_v: 0.5,
  fliplr: 0.5,
  flipud: 0.5,
  bgr: 0.5,
  multi_scale: 0.5,
};

const options = (name: string): TrainOptions => ({
  ...EVERYTHING,
  data: path.join(folder, 'shapes', 'data.yaml'),
  project: folder,
  name,
  epochs: 3,
  imgsz: 64,
  batch: 2,
  nbs: 4,
  close_mosaic: 1,
  workers: 2,
  plots: false,
  val: false,
  optimizer: 'SGD',
  amp: 'fp32',
  device: 'cpu',
});

const last = (name: string) => path.join(folder, name, 'weights', 'last.safetensors');

/** Trains, and gives the sizes that the network saw. */
async function train(extra: TrainOptions, stop?: (event: TrainEvent) => boolean): Promise<number[]> {
  const controller = new AbortController();
  const sizes: number[] = [];
  const model = await YOLO.load('yolov8n');
  await model.train({
    ...extra,
    signal: controller.signal,
    onEvent: (event) => {
      if (event.event === 'step') sizes.push(event.size);
      if (stop?.(event)) controller.abort();
    },
  });
  return sizes;
}

before(() => generateShapes({ out: path.join(folder, 'shapes'), train: 6, val: 2, imgsz: 64, seed: 3 }));

const at = (epoch: number, step: number) => (event: TrainEvent) =>
  event.event === 'step' && event.epoch === epoch && event.step === step;

test('every augmentation: interrupted twice and resumed, a run ends with the same weights', async () => {
  const sizes = await train(options('whole'));
  assert.deepEqual(
    [...new Set(sizes)].sort((a, b) => a - b),
    [32, 64, 96],
  );
  const interrupted = (error: unknown) => error instanceof MezzoError && error.code === 'INTERRUPTED';
  await assert.rejects(train(options('broken'), at(1, 1)), interrupted);
  await assert.rejects(train({ resume: last('broken') }, at(2, 2)), interrupted);
  await train({ resume: last('broken') });
  const [expected, resumed] = [await readCheckpoint(last('whole')), await readCheckpoint(last('broken'))];
  equalTensors(resumed.weights, expected.weights);
  equalTensors(resumed.training!.live, expected.training!.live);
  assert.equal(resumed.training!.state.steps, expected.training!.state.steps);
});
