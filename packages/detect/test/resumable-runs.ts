/** Trainings that are interrupted and resumed, beside one of the same options that is not. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { before } from 'node:test';
import { type CheckpointContents, readCheckpoint } from '../src/engine/checkpoint.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { generateShapes, type TrainOptions, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';
import { scratchFolder } from './scratch.ts';

process.env.OMP_NUM_THREADS ??= '1';

/** When a run is interrupted: after the first event for which this is true. */
export type Moment = (event: TrainEvent) => boolean;

/** After a step of an epoch, both from 1. */
export const afterStep =
  (epoch: number, step: number): Moment =>
  (event) =>
    event.event === 'step' && event.epoch === epoch && event.step === step;

export const afterEpoch =
  (epoch: number): Moment =>
  (event) =>
    event.event === 'epoch' && event.epoch === epoch;

async function train(options: TrainOptions, stop?: Moment): Promise<void> {
  const controller = new AbortController();
  const model = await YOLO.load('yolov8n');
  await model.train({
    ...options,
    signal: controller.signal,
    onEvent: (event) => {
      if (stop?.(event)) controller.abort();
    },
  });
}

/** Generates the pictures and trains the run `whole` before the tests of a file. */
export function resumableRuns(shapes: { train: number; val: number; imgsz: number }, options: TrainOptions) {
  const folder = scratchFolder();
  const data = path.join(folder, 'shapes', 'data.yaml');
  const fresh = (name: string): TrainOptions => ({ ...options, data, project: folder, name });
  const last = (name: string): string => path.join(folder, name, 'weights', 'last.safetensors');
  before(async () => {
    await generateShapes({ out: path.dirname(data), ...shapes, seed: 1 });
    await train(fresh('whole'));
  });
  /** Interrupts a run and resumes it: its weights, averaged and live, must be those of the whole one, bit for bit. */
  const resumed = async (
    moment: string,
    stop: Moment,
  ): Promise<{ name: string; whole: CheckpointContents; resumed: CheckpointContents }> => {
    const name = moment.replaceAll(' ', '-');
    await assert.rejects(train(fresh(name), stop), { code: 'INTERRUPTED' });
    await train({ resume: last(name) });
    const [whole, own] = [await readCheckpoint(last('whole')), await readCheckpoint(last(name))];
    equalTensors(own.weights, whole.weights);
    equalTensors(own.training!.live, whole.training!.live);
    return { name, whole, resumed: own };
  };
  return { folder, last, train, resumed };
}
