/** Short trainings of YOLOv8n in fp16 that start with far too high a scale, with and without observers of their windows. */
import path from 'node:path';
import { setNumThreads } from '@mezzo/torch';
import { resolveSettings, type TrainOptions } from '../src/config/index.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { RunPictures } from '../src/engine/pictures.ts';
import { prepareRun } from '../src/engine/prepare.ts';
import type { Run } from '../src/engine/run.ts';
import { RunFiles } from '../src/engine/run-files.ts';
import { Training } from '../src/engine/train.ts';
import type { WindowObserver } from '../src/engine/window-observer.ts';
import { buildModel } from '../src/index.ts';

process.env.OMP_NUM_THREADS ??= '1';

/** Trains one epoch on the shapes in `folder`. `observersOf` makes what watches the windows, from the run. */
export async function observedRun(
  folder: string,
  options: TrainOptions & { name: string },
  observersOf: (run: Run) => readonly WindowObserver[],
  emit: (event: TrainEvent) => void = () => {},
): Promise<Run> {
  setNumThreads(1);
  const settings = resolveSettings('train', {
    data: path.join(folder, 'shapes', 'data.yaml'),
    project: folder,
    epochs: 1,
    imgsz: 32,
    batch: 2,
    nbs: 2,
    workers: 0,
    plots: false,
    save: false,
    amp: 'fp16',
    check: false,
    device: 'cpu',
    ...options,
  });
  const saveDir = path.join(folder, options.name);
  const run = await prepareRun({
    settings,
    emit: () => {},
    makeSaveDir: () => saveDir,
    makeModel: async ({ names }) => buildModel('yolov8n', { nc: names.length }),
  });
  const files = new RunFiles(saveDir, settings);
  const pictures = new RunPictures(saveDir, run.data.names, false);
  await new Training(run, files, pictures, { emit, observers: observersOf(run) }).train();
  files.close();
  return run;
}
