import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { availableCores, type LoadedAddon, loadedAddon } from '@mezzo/libtorch';
import { applyPlan } from '@mezzo/precision';
import { getNumThreads, MezzoError, scope, setNumThreads } from '@mezzo/torch';
import { resolveSettings, type TrainOptions, type TrainSettings } from '../config/index.ts';
import { VALIDATION_NMS } from '../metrics/nms.ts';
import { profileModel } from '../models/profile.ts';
import { plotResults } from '../plots/results.ts';
import { type CheckpointContents, modelOf, readCheckpoint } from './checkpoint.ts';
import { evaluate } from './evaluate.ts';
import type { StartEvent, TrainEvent } from './event.ts';
import { type ModelSource, makeTrainable, preferSafetensors } from './model-source.ts';
import { observersOf } from './observers.ts';
import { RunPictures } from './pictures.ts';
import { prepareRun } from './prepare.ts';
import { type DetectionReport, reportOf } from './report.ts';
import { readResults } from './results.ts';
import type { Run } from './run.ts';
import { RunFiles } from './run-files.ts';
import { createRunFolder, findCheckpoints } from './run-folder.ts';
import { askedThreads, fastestThreads } from './threads.ts';
import { Training } from './train.ts';

export interface TrainRequest {
  source: ModelSource;
  /** As the caller gave them: a resumed run takes the rest from its checkpoint. */
  options: TrainOptions;
  emit: (event: TrainEvent) => void;
  signal?: AbortSignal;
}

/** What a resumed run may change. */
const RESUME_OVERRIDES: readonly (keyof TrainOptions)[] = [
  'batch',
  'close_mosaic',
  'device',
  'exist_ok',
  'imgsz',
  'patience',
  'plots',
  'save_period',
  'time',
  'val',
  'verbose',
  'workers',
];

/** Trains a detector from settings to pictures, or continues a run; resolves to the validation of its best weights. */
export async function trainDetector({
  source,
  options,
  emit,
  signal,
}: TrainRequest): Promise<DetectionReport> {
  const given = resolveSettings('train', options);
  const resume = await openResume(given);
  const settings = resume ? resumedSettings(resume, options, given, emit) : given;
  const run = await prepareRun({
    settings,
    emit,
    ...(signal ? { signal } : {}),
    ...(resume ? { resume } : {}),
    makeSaveDir: () => resume?.state.saveDir ?? createRunFolder('train', settings),
    makeModel: async (data) => {
      if (resume) return modelOf(resume.contents);
      const { model, transfer } = await makeTrainable(source, data, settings);
      if (transfer) {
        const text = `Transferred ${transfer.transferred}/${transfer.total} items from pretrained weights`;
        emit({ event: 'message', level: 'info', text });
      }
      return model;
    },
  });
  await setThreads(run, resume?.state.threads, emit);
  const files = new RunFiles(run.saveDir, settings, resume?.state.files);
  const pictures = new RunPictures(run.saveDir, run.data.names, settings.plots);
  try {
    emit(startEvent(run, Math.min((resume?.state.epoch ?? 0) + 1, settings.epochs)));
    if (!resume) pictures.labels(run.labelled);
    const training = new Training(
      run,
      files,
      pictures,
      { emit, observers: observersOf(run), ...(signal ? { signal } : {}) },
      resume?.state,
    );
    run.islands.save(run.saveDir);
    const end = await training.train();
    const report = await finish(run, files, pictures);
    await training.complete();
    emit({
      event: 'done',
      saveDir: run.saveDir,
      best: { epoch: end.best.epoch + 1, map50: end.best.map50, map: end.best.map },
      seconds: end.seconds,
      epochs: end.epochs,
      stopped: end.stopped,
      results: report.summary(),
    });
    return report;
  } finally {
    files.close();
  }
}

/** A resumed run keeps its number of threads: results depend on it in the last bits. */
async function setThreads(run: Run, before: number | undefined, emit: TrainRequest['emit']): Promise<void> {
  if (askedThreads() !== null || run.device !== 'cpu' || availableCores() === 1) return;
  if (before !== undefined) return setNumThreads(before);
  const { threads, seconds } = await fastestThreads(run);
  const times = [...seconds].map(([count, time]) => `${count}: ${time.toFixed(2)} s a step`).join(', ');
  emit({
    event: 'message',
    level: 'info',
    text: `Compute threads: ${threads} (measured beside the loader, ${times})`,
  });
}

type Resume = NonNullable<CheckpointContents['training']> & {
  contents: CheckpointContents;
  weights: CheckpointContents['weights'];
};

/** The checkpoint that `resume=` names: true is the newest run's. */
async function openResume(settings: TrainSettings): Promise<Resume | undefined> {
  if (settings.resume === false) return undefined;
  const file =
    settings.resume === true
      ? findCheckpoints(path.resolve(settings.project ?? 'runs'))[0]
      : preferSafetensors(settings.resume);
  if (file === undefined || !existsSync(file)) {
    const what =
      file === undefined
        ? `no run under ${path.resolve(settings.project ?? 'runs')} has a checkpoint`
        : `no such file: ${file}`;
    throw new MezzoError('NOTHING_TO_RESUME', `resume: ${what}`, {
      hint: 'a run writes its first checkpoint after its first epoch, or when it is interrupted with Ctrl-C',
    });
  }
  if (path.extname(file) === '.pt') {
    throw new MezzoError('NOTHING_TO_RESUME', `${file}: only Mezzo's own checkpoints can be resumed`, {
      hint: `train on from its weights with model=${file}`,
    });
  }
  const contents = await readCheckpoint(file);
  if (!contents.training || contents.training.state.finished) {
    throw new MezzoError(
      'NOTHING_TO_RESUME',
      `${file}: this training is finished, there is nothing to resume`,
      {
        hint: `train on from its weights with model=${file}`,
      },
    );
  }
  return { ...contents.training, contents, weights: contents.weights };
}

function resumedSettings(
  resume: Resume,
  options: TrainOptions,
  given: TrainSettings,
  emit: TrainRequest['emit'],
): TrainSettings {
  const saved = resume.state.settings as unknown as TrainSettings;
  const changed: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options)) {
    if (key === 'resume' || key === 'model' || value === undefined) continue;
    if (RESUME_OVERRIDES.includes(key as keyof TrainOptions))
      changed[key] = given[key as keyof TrainSettings];
    else if (given[key as keyof TrainSettings] !== saved[key as keyof TrainSettings]) {
      const text = `${key} is fixed when a run begins: its value ${String(saved[key as keyof TrainSettings])} stays`;
      emit({ event: 'message', level: 'warning', text });
    }
  }
  return Object.freeze({ ...saved, ...changed, resume: given.resume });
}

function startEvent(run: Run, firstEpoch: number): StartEvent {
  const { settings, precision, device, model, imgsz } = run;
  const profile = profileModel(model, imgsz);
  return {
    event: 'start',
    saveDir: run.saveDir,
    amp: { enabled: precision.enabled, dtype: precision.dtype, reason: precision.reason },
    scaler: precision.scaler,
    device,
    machine: machineName(device, loadedAddon()),
    model: { name: profile.name, params: profile.params, gflops: profile.gflops },
    data: { path: run.data.path, train: run.images.train, val: run.images.val, names: run.data.names },
    imgsz: { train: imgsz, val: imgsz },
    epochs: settings.epochs,
    batch: settings.batch,
    workers: settings.workers,
    optimizer: run.optimizer.description,
    firstEpoch,
  };
}

function machineName(device: string, addon: LoadedAddon | undefined): string {
  const library = `LibTorch ${addon?.libtorch.version ?? 'unknown'}`;
  if (device !== 'cpu') return `${device}, ${library}`;
  const threads = getNumThreads();
  return `${cpus()[0]?.model.trim() ?? 'CPU'}, ${threads} thread${threads === 1 ? '' : 's'}, ${library}`;
}

/** Draws the run's curves and measures its best weights, with pictures. */
async function finish(run: Run, files: RunFiles, pictures: RunPictures): Promise<DetectionReport> {
  const { settings } = run;
  const useBest = settings.save && existsSync(files.best);
  const best = useBest ? modelOf(await readCheckpoint(files.best)) : run.ema.model;
  const memoryFormat = run.precision.channelsLast ? ('channels_last' as const) : undefined;
  if (useBest) {
    applyPlan(best, run.islands.plan);
    scope(() => best.to({ device: run.device, ...(memoryFormat ? { memoryFormat } : {}) }));
  }
  const result = await evaluate({
    model: best,
    batches: run.val,
    device: run.device,
    precision: run.precision,
    nms: { ...VALIDATION_NMS, iou: settings.iou, maxDet: settings.max_det },
    rules: run.rules,
    boxGain: settings.box_gain,
    names: run.data.names,
    pictures,
    folder: settings.plots ? run.saveDir : null,
  });
  if (settings.plots)
    await plotResults(
      readResults(path.join(run.saveDir, 'results.csv')),
      path.join(run.saveDir, 'results.png'),
    );
  await pictures.finish();
  return reportOf(result, { saveDir: run.saveDir });
}
