/** Trainings of networks of two streams on a few generated pairs. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import type { Fusion } from '../src/fusion/fusion-model.ts';
import { generateNight, type TrainOptions, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';
import { scratchFolder } from './scratch.ts';

process.env.OMP_NUM_THREADS = '1';

/** Four pairs to train on and two to validate, written before the tests of a file, and what is trained on them. */
export function nightRuns() {
  const folder = scratchFolder();
  const night = path.join(folder, 'night');
  const options: TrainOptions = {
    data: path.join(night, 'data.yaml'),
    project: folder,
    ...{ epochs: 1, imgsz: 64, batch: 2, nbs: 4, workers: 1, device: 'cpu', amp: 'fp32', plots: false },
  };
  before(async () => {
    await generateNight({ out: night, train: 4, val: 2, imgsz: 64, seed: 3 });
  });
  return {
    options,
    /** Folder of the visible pictures to validate on. */
    images: path.join(night, 'images', 'val'),
    folder,
    weights: (name: string, which: 'best' | 'last') =>
      path.join(folder, name, 'weights', `${which}.safetensors`),
  };
}

/** Trains, of YOLO11n's blocks unless named; `stop` interrupts. */
export async function train(
  options: TrainOptions,
  stop?: (event: TrainEvent) => boolean,
  blocks = 'yolo11n',
) {
  const controller = new AbortController();
  const messages: string[] = [];
  const model = await YOLO.load(blocks);
  const report = await model.train({
    ...options,
    signal: controller.signal,
    onEvent: (event) => {
      if (event.event === 'message') messages.push(event.text);
      if (stop?.(event)) controller.abort();
    },
  });
  return { model, report, messages };
}

/** Tests that each kind trains, goes on where it was interrupted, is measured, finds things and becomes ONNX. */
export function testFusions(kinds: readonly (readonly [fusion: Fusion, blocks: string])[]): void {
  const { options: base, images, weights } = nightRuns();
  describe('trains, goes on where it was interrupted, is measured, finds things and becomes ONNX', () => {
    for (const [fusion, blocks] of kinds) {
      test(`${fusion}, ${blocks}`, async () => {
        const options = { ...base, fusion, ir_channels: fusion === 'mid' ? 3 : 1, modality_dropout: 0.3 };
        const { model, report } = await train({ ...options, name: fusion }, undefined, blocks);
        assert.deepEqual(model.modalities, { rgb: 3, ir: options.ir_channels });
        const again = { ...options, name: `${fusion}-resumed` };
        const stopped = train(again, ({ event }) => event === 'step', blocks);
        await assert.rejects(stopped, { code: 'INTERRUPTED' });
        const { messages } = await train({ resume: weights(`${fusion}-resumed`, 'last') });
        assert.ok(
          messages.every((text) => !text.includes('is fixed')),
          'its options come from the checkpoint',
        );
        const whole = await readCheckpoint(weights(fusion, 'last'));
        const resumed = await readCheckpoint(weights(`${fusion}-resumed`, 'last'));
        equalTensors(resumed.weights, whole.weights);

        const best = await YOLO.load(weights(fusion, 'best'));
        const measured = await best.val({ imgsz: 64, batch: 4, workers: 1, plots: false });
        const { map50, map } = report.summary();
        assert.deepEqual([measured.summary().map50, measured.summary().map], [map50, map]);
        const results = await best.predict(images, { imgsz: 64, conf: 1e-6, max_det: 2 });
        const files = [images, images.replace('images', 'imagesIR')];
        assert.deepEqual(
          results.map(({ path: visible, infrared, boxes }) => [visible, infrared, boxes.length]),
          ['00000.jpg', '00001.jpg'].map((name) => [...files.map((folder) => path.join(folder, name)), 2]),
        );

        const { onnx, verification } = await best.export({ imgsz: 64, source: images });
        assert.deepEqual(onnx!.input, { name: 'images', shape: [1, 3 + options.ir_channels, 64, 64] });
        // Where onnxruntime is not installed the report says so, and fusion-export.test.ts runs the graph.
        if (verification!.verified) assert.equal(verification!.images, 2);
        else assert.equal(verification!.hint, 'npm install onnxruntime-node, and export again');
      });
    }
  });
}
