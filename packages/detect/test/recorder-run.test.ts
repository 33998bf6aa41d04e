import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { Recording } from '@mezzo/precision';
import { setNumThreads } from '@mezzo/torch';
import { resolveSettings } from '../src/config/index.ts';
import { RunPictures } from '../src/engine/pictures.ts';
import { prepareRun } from '../src/engine/prepare.ts';
import { RunFiles } from '../src/engine/run-files.ts';
import { Training } from '../src/engine/train.ts';
import { buildModel, generateShapes } from '../src/index.ts';
import { RecorderObserver } from '../src/precision/recorder.ts';
import { equalTensors } from './equal-tensors.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-recorder-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** One epoch of 6 steps. */
async function train(name: string, file: string | null) {
  setNumThreads(1);
  const settings = resolveSettings('train', {
    data: path.join(folder, 'shapes', 'data.yaml'),
    project: folder,
    name,
    epochs: 1,
    imgsz: 32,
    batch: 2,
    nbs: 2,
    workers: 0,
    plots: false,
    save: false,
    check: false,
    amp: 'fp16',
    init_scale: 2 ** 20,
    device: 'cpu',
  });
  const saveDir = path.join(folder, name);
  const run = await prepareRun({
    settings,
    emit: () => {},
    makeSaveDir: () => saveDir,
    makeModel: async ({ names }) => buildModel('yolov8n', { nc: names.length }),
  });
  const files = new RunFiles(saveDir, settings);
  const observer = file === null ? null : new RecorderObserver(file, run.model, run.precision);
  const hooks = { emit: () => {}, observers: observer === null ? [] : [observer] };
  await new Training(run, files, new RunPictures(saveDir, run.data.names, false), hooks).train();
  files.close();
  return { run, observer };
}

test('a recorded run is the run without the recorder, to the bit, and its file tells of skips', async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 12, val: 2, imgsz: 32, seed: 1 });
  const file = path.join(folder, 'rec.json');
  const { run: without } = await train('without', null);
  const { run, observer } = await train('with', file);
  equalTensors(run.model.stateDict(), without.model.stateDict());
  const recording = Recording.from(JSON.parse(readFileSync(file, 'utf8')), file);
  assert.deepEqual(
    recording.samples.map(({ window, scale, skipped }) => [window, scale, skipped]).slice(0, 2),
    [
      [1, 2 ** 20, true],
      [2, 2 ** 19, true],
    ],
  );
  assert.deepEqual(
    recording.samples.map(({ window }) => window),
    [1, 2, 4],
  );
  assert.ok(recording.layers.includes('model.22.cv3.0.2'));

  const again = new RecorderObserver(file, run.model, run.precision);
  again.restore(JSON.parse(JSON.stringify(observer!.state())));
  assert.deepEqual(again.state(), observer!.state());
});
