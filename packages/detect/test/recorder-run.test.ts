import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Recording } from '@mezzo/precision';
import { generateShapes } from '../src/index.ts';
import { RecorderObserver } from '../src/precision/recorder.ts';
import { equalTensors } from './equal-tensors.ts';
import { observedRun } from './observed-run.ts';
import { scratchFolder } from './scratch.ts';

const folder = scratchFolder();

test('a recorded run is the run without the recorder, to the bit, and its file tells of skips', async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 12, val: 2, imgsz: 32, seed: 1 });
  const file = path.join(folder, 'rec.json');
  const options = { init_scale: 2 ** 20 };
  const without = await observedRun(folder, { ...options, name: 'without' }, () => []);
  let observer: RecorderObserver | undefined;
  const run = await observedRun(folder, { ...options, name: 'with' }, ({ model, precision }) => {
    observer = new RecorderObserver(file, model, precision);
    return [observer];
  });
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
