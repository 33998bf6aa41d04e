import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { setNumThreads } from '@mezzo/torch';
import { resolveSettings } from '../src/config/index.ts';
import type { AutopsyEvent, TrainEvent } from '../src/engine/event.ts';
import { RunPictures } from '../src/engine/pictures.ts';
import { prepareRun } from '../src/engine/prepare.ts';
import type { Run } from '../src/engine/run.ts';
import { RunFiles } from '../src/engine/run-files.ts';
import { Training } from '../src/engine/train.ts';
import { buildModel, generateShapes } from '../src/index.ts';
import { AutopsyObserver } from '../src/precision/autopsy-observer.ts';
import { equalTensors } from './equal-tensors.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-autopsy-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** One epoch of 11 steps, of which the first are skipped: the loss scale starts far too high. */
async function train(name: string, observed: AutopsyEvent[] | null): Promise<Run> {
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
    amp: 'fp16',
    check: false,
    init_scale: 2 ** 22,
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
  const pictures = new RunPictures(saveDir, run.data.names, false);
  const observers = observed === null ? [] : [new AutopsyObserver(run, { afterFirst: true })];
  const emit = (event: TrainEvent) => {
    if (event.event === 'autopsy') observed?.push(event);
  };
  await new Training(run, files, pictures, { emit, observers }).train();
  files.close();
  return run;
}

test('a run with autopsies is the run without them, to the bit', async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 22, val: 2, imgsz: 32, seed: 1 });
  const events: AutopsyEvent[] = [];
  const [without, withThem] = [await train('without', null), await train('with', events)];
  assert.deepEqual(
    events
      .slice(0, 2)
      .map(({ step, trigger, finding, cure }) => ({ step, trigger, finding, cure: cure?.code })),
    [
      { step: 1, trigger: 'first-skip', finding: 'scale-too-large', cure: 'lower-scale' },
      { step: 6, trigger: 'repeated-skips', finding: 'scale-too-large', cure: 'lower-scale' },
    ],
  );
  assert.deepEqual(
    events.slice(0, 2).map(({ precision, files }) => [precision.scale, files.length]),
    [
      [2 ** 22, 2],
      [2 ** 17, 2],
    ],
  );
  assert.ok(without.ema.updates > 0);
  equalTensors(withThem.model.stateDict(), without.model.stateDict());
  equalTensors(withThem.ema.model.stateDict(), without.ema.model.stateDict());
  assert.deepEqual(withThem.scaler.stateDict(), without.scaler.stateDict());
});
