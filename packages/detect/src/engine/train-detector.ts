import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { availableCores, type LoadedAddon, loadedAddon } from '@mezzo/libtorch';
import { applyPlan } from '@mezzo/precision';
import { getNumThreads, scope, setNumThreads } from '@mezzo/torch';
import { resolveSettings, type TrainOptions } from '../config/index.ts';
import { DetectionResult } from '../metrics/detection.ts';
import { VALIDATION_NMS } from '../metrics/nms.ts';
import { profileModel } from '../models/profile.ts';
import { plotResults } from '../plots/results.ts';
import { ranksHere } from '../ranks/join.ts';
import type { Ranks } from '../ranks/ranks.ts';
import { adviceFor, advised } from './advice.ts';
import { modelOf, readCheckpoint } from './checkpoint.ts';
import { modalitiesOf, shownTo, withFusion } from './dual-source.ts';
import { evaluate } from './evaluate.ts';
import type { StartEvent, TrainEvent } from './event.ts';
import { HostMemoryLimit } from './memory-limit.ts';
import { type ModelSource, makeTrainable } from './model-source.ts';
import { observersOf } from './observers.ts';
import { RunPictures } from './pictures.ts';
import { prepareRun } from './prepare.ts';
import { type Attempt, type Failure, recover } from './recovery.ts';
import { type DetectionReport, reportOf } from './report.ts';
import { readResults } from './results.ts';
import { AUTO, openResume, type Resume, resumedSettings } from './resume.ts';
import type { FollowedRun, Run } from './run.ts';
import { RunFiles, type RunRecord, unwritten } from './run-files.ts';
import { createRunFolder } from './run-folder.ts';
import { askedThreads, ThreadTrial } from './threads.ts';
import { Training } from './train.ts';
import type { WindowObserver } from './window-observer.ts';

export interface TrainRequest {
  source: ModelSource;
  /** As the caller gave them: a resumed run takes the rest from its checkpoint. */
  options: TrainOptions;
  emit: (event: TrainEvent) => void;
  signal?: AbortSignal;
  /** Further followers of each run that is begun. */
  observers?: (run: FollowedRun) => readonly WindowObserver[];
}

/**
 * Trains a detector from settings to pictures, or continues a run; resolves to the validation of its best weights.
 * A run that fails in a way that can be mended is begun again, see {@link recover}.
 */
export async function trainDetector(request: TrainRequest): Promise<DetectionReport> {
  const { options } = request;
  const ranks = ranksHere();
  const emit = ranks.rank === 0 ? request.emit : stepsOnly(request.emit);
  const asked = resolveSettings('train', options);
  // It is found again by its folder.
  const given = asked.resume === AUTO ? Object.freeze({ ...asked, exist_ok: true }) : asked;
  const resume = await openResume(given);
  const fused = resume ? null : withFusion(request.source, given);
  if (fused?.note) emit({ event: 'message', level: 'info', text: fused.note });
  const source = fused?.source ?? request.source;
  let attempt: Attempt = {
    settings: resume ? resumedSettings(resume, options, given, emit) : given,
    ...(resume ? { resume } : {}),
    saveDir: resume?.state.saveDir ?? null,
    halvings: 0,
    rollbacks: resume?.state.rollbacks ?? 0,
    astray: false,
    recovered: [],
  };
  const memoryLimit = new HostMemoryLimit();
  try {
    for (;;) {
      const outcome = await tryTraining({ ...request, source }, attempt, memoryLimit, ranks);
      if ('report' in outcome) return outcome.report;
      attempt = await recover(outcome.failure, ranks.size);
      emit(attempt.recovered.at(-1)!);
    }
  } finally {
    memoryLimit.lift();
  }
}

/** One rank tells what happens on all alike; of the others it is known where they are. */
const stepsOnly = (emit: TrainRequest['emit']) => (event: TrainEvent) => {
  if (event.event === 'step') emit(event);
};

/** The batch is that of all ranks together, so their number changes nothing in the schedule. */
function tellRanks({ state }: Resume, ranks: Ranks, emit: TrainRequest['emit']): void {
  const before = (state.settings.ranks as number | null | undefined) ?? 1;
  if (before === ranks.size) return;
  const batch = state.settings.batch as number;
  const text =
    `Resumed on ${ranks.size} rank${ranks.size === 1 ? '' : 's'}, before on ${before}: batch=${batch} is that of all ` +
    `together, so each has ${batch / ranks.size} pictures a step, and learning rate and accumulation stay as they are`;
  emit({ event: 'message', level: 'info', text });
}

type Outcome = { report: DetectionReport } | { failure: Failure };

/** One beginning of a run, and how far it came. */
async function tryTraining(
  { source, emit: tell, signal, observers = () => [] }: TrainRequest,
  attempt: Attempt,
  memoryLimit: HostMemoryLimit,
  ranks: Ranks,
): Promise<Outcome> {
  const emit = ranks.rank === 0 ? tell : stepsOnly(tell);
  const { resume, rollbacks, astray, saveDir } = attempt;
  const failed = (error: unknown, run?: Run, training?: Training): Outcome => {
    const { epoch, epochs } = training?.progressOfEpochs ?? {
      epoch: resume?.state.epoch ?? 0,
      epochs: attempt.settings.epochs,
    };
    const saved = training?.lastSaved ?? null;
    return { failure: { attempt, error, ...(run ? { run } : {}), epoch, epochs, saved } };
  };
  const modalities = resume ? resume.contents.identity.table.modalities : modalitiesOf(source);
  let run: Run;
  try {
    run = await prepareRun({
      settings: attempt.settings,
      shown: shownTo(modalities, attempt.settings),
      rollbacks,
      astray,
      emit,
      ranks,
      // Each rank has pictures of its own.
      onSkip: ({ file, reason }) => tell({ event: 'message', level: 'warning', text: `${file}: ${reason}` }),
      ...(signal ? { signal } : {}),
      ...(resume ? { resume } : {}),
      makeSaveDir: () => saveDir ?? createRunFolder('train', attempt.settings),
      makeModel: async (data) => {
        if (resume) return modelOf(resume.contents);
        const { model, transfer } = await makeTrainable(source, data, attempt.settings);
        if (transfer) {
          const text = `Transferred ${transfer.transferred}/${transfer.total} items from pretrained weights`;
          emit({ event: 'message', level: 'info', text });
        }
        return model;
      },
    });
  } catch (error) {
    return failed(error);
  }
  const { settings } = run;
  if (resume && attempt.recovered.length === 0) tellRanks(resume, ranks, emit);
  const writes = ranks.rank === 0;
  const files = writes ? new RunFiles(run.saveDir, settings, resume?.state.files) : unwritten(run.saveDir);
  const pictures = new RunPictures(run.saveDir, run.data.names, settings.plots && writes);
  let training: Training | undefined;
  try {
    const trial = threadTrial(run, resume?.state.threads, emit);
    emit(startEvent(run, Math.min((resume?.state.epoch ?? 0) + 1, settings.epochs)));
    for (const event of attempt.recovered) files.log(event);
    if (!resume && attempt.recovered.length === 0) advise(run, emit, files);
    if (!resume) pictures.labels(run.labelled);
    training = new Training(
      run,
      files,
      pictures,
      {
        emit,
        memoryLimit,
        observers: [...observersOf(run, ranks), ...observers(run), ...trial],
        ...(signal ? { signal } : {}),
      },
      resume?.state,
      resume?.state.settings.batch as number | undefined,
    );
    if (writes) run.islands.save(run.saveDir);
    const trained = training;
    const end = await trained.train();
    const result = await ranks.fromFirst(async () => {
      const best = await finish(run, files, pictures);
      await trained.complete();
      return best;
    });
    const own = writes ? result : DetectionResult.received(result, run.rules);
    const report = reportOf(own, { saveDir: run.saveDir });
    emit({
      event: 'done',
      saveDir: run.saveDir,
      best: { epoch: end.best.epoch + 1, map50: end.best.map50, map: end.best.map },
      seconds: end.seconds,
      epochs: end.epochs,
      stopped: end.stopped,
      results: report.summary(),
    });
    return { report };
  } catch (error) {
    // The next attempt writes pictures of the same names.
    await pictures.settle();
    return failed(error, run, training);
  } finally {
    files.close();
  }
}

/** Tries the compute threads, unless the user chose them. A resumed run keeps its number: results depend on it in the last bits. */
function threadTrial(run: Run, before: number | undefined, emit: TrainRequest['emit']): WindowObserver[] {
  // Ranks have their share of the cores, and each would measure the others.
  if (askedThreads() !== null || run.ranks.size > 1 || run.device !== 'cpu' || availableCores() === 1)
    return [];
  if (before !== undefined) {
    setNumThreads(before);
    return [];
  }
  const decided = (threads: number, seconds: ReadonlyMap<number, number>) => {
    const times = [...seconds].map(([count, time]) => `${count}: ${time.toFixed(2)} s a step`).join(', ');
    const text = `Compute threads: ${threads} (measured beside the loader, ${times})`;
    emit({ event: 'message', level: 'info', text });
  };
  return [new ThreadTrial(decided)];
}

/** Once, at the beginning of a run; not with verbose=false. */
function advise(run: Run, emit: TrainRequest['emit'], files: RunRecord): void {
  if (!run.settings.verbose) return;
  for (const event of adviceFor(advised(run))) {
    emit(event);
    files.log(event);
  }
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
    machine: machineName(device, loadedAddon(), run.ranks),
    ranks: run.ranks.size,
    model: { name: profile.name, params: profile.params, gflops: profile.gflops },
    data: {
      ...{ path: run.data.path, names: run.data.names },
      ...{ train: run.images.train, val: run.images.val },
      pairs: model.description.table.modalities !== undefined,
    },
    imgsz: { train: imgsz, val: imgsz },
    epochs: settings.epochs,
    batch: settings.batch,
    workers: settings.workers,
    optimizer: run.optimizer.description,
    firstEpoch,
  };
}

function machineName(device: string, addon: LoadedAddon | undefined, { size }: Ranks): string {
  const library = `LibTorch ${addon?.libtorch.version ?? 'unknown'}`;
  if (device !== 'cpu') return `${device}, ${library}`;
  const threads = getNumThreads();
  const work = `${threads} thread${threads === 1 ? '' : 's'}`;
  const all = size === 1 ? work : `${size} ranks of ${work}`;
  return `${cpus()[0]?.model.trim() ?? 'CPU'}, ${all}, ${library}`;
}

/** What TensorBoard shows of the run's pictures. */
const SHOWN_PICTURES = [
  'labels.jpg',
  'train_batch0.jpg',
  'val_batch0_labels.jpg',
  'val_batch0_pred.jpg',
  'results.png',
  'BoxPR_curve.png',
  'confusion_matrix_normalized.png',
];

/** Draws the run's curves and measures its best weights, with pictures. */
async function finish(run: Run, files: RunRecord, pictures: RunPictures): Promise<DetectionResult> {
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
  if (settings.plots) await files.pictures(SHOWN_PICTURES);
  return result;
}
