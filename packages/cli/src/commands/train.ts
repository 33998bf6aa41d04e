import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Place, TrainEvent, YOLO } from '@mezzo/detect';
import {
  COMMAND_LINE_OPTIONS,
  joinLayers,
  resolveSettings,
  type TrainOptions,
  type TrainSettings,
} from '@mezzo/detect/config';
import { MezzoError } from '@mezzo/libtorch/errors';
import type { Call, Command } from '../command.ts';
import { openDetector } from '../detector.ts';
import { requireDual } from '../dual.ts';
import { UsageError } from '../failure.ts';
import { interruptible } from '../interruption.ts';
import { warningsOnly } from '../ranks/events.ts';
import { launchedPlace } from '../ranks/launchers.ts';
import { threadsOfRank } from '../ranks/threads.ts';
import type { Terminal } from '../terminal.ts';
import { TrainingLines } from '../training-lines.ts';
import { TrainingView } from '../training-view.ts';

export const train: Command = {
  name: 'train',
  usage: ['mezzo train data=DATA.yaml [model=yolov8n] [option=value …]', 'mezzo train resume=true'],
  about:
    'Trains a detector. Names, defaults and meanings of the options are those of Ultralytics. The run goes to ' +
    'runs/detect/train (train2, …): weights, results.csv, curves and pictures. Ctrl-C saves and says how to go on. ' +
    'Exit code 0 done, 1 failed, 2 wrong usage or bad input, 130 interrupted.',
  examples: [
    ['mezzo train model=yolov8n data=data.yaml epochs=100 imgsz=640', 'from scratch, in mixed precision'],
    ['mezzo train data=data.yaml model=best.safetensors lr0=0.001', 'from own weights'],
    ['mezzo train data=data.yaml amp=fp16 --json', 'fp16 with the loss scaler; events as JSON lines'],
    ['mezzo train resume=true', 'continue the newest run'],
    ['mezzo train cfg=runs/detect/train/args.yaml epochs=50', 'as an earlier run, with a change'],
  ],
  options: COMMAND_LINE_OPTIONS,
  detector: 'train',
  operands: false,
  run: async (call) => runTraining(call, 'train', await joinLayers('train', call.assignments)),
};

/** Trains with the options of a command line: here, or in a process for each of several ranks. */
export async function runTraining(
  { json, terminal }: Call,
  command: 'train' | 'train-dual',
  options: TrainOptions,
): Promise<number> {
  const settings = resolveSettings('train', options);
  await requireData(settings);
  const place = launchedPlace(process.env);
  const ranks = settings.ranks ?? 1;
  const model = await openTrainable(command, settings, terminal);
  const view = json ? new TrainingLines(terminal) : new TrainingView(terminal, settings.verbose);
  const onEvent = (event: TrainEvent) => view.show(event);
  try {
    await interruptible(terminal, async (signal) => {
      if (place !== null) await trainLaunched(place, { model, options, settings, signal, onEvent });
      else if (ranks > 1) await trainSupervised({ settings, options, signal, onEvent });
      else await model.train({ ...options, signal, onEvent });
    });
  } catch (error) {
    throw withWayOn(error, command, settings, view.start?.saveDir);
  }
  return 0;
}

async function openTrainable(
  command: 'train' | 'train-dual',
  { model: name, fusion, resume }: TrainSettings,
  terminal: Terminal,
): Promise<YOLO> {
  const model = await openDetector(name, terminal);
  if (command === 'train-dual' && fusion === null && (resume === false || resume === 'auto')) {
    const streams = `pretrained=${name} loads its weights into both streams of a network that model names`;
    requireDual(model, `${streams}: model=yolo11n, fusion=mid, …`);
  }
  return model;
}

interface Shared {
  readonly settings: TrainSettings;
  readonly options: TrainOptions;
  readonly signal: AbortSignal;
  readonly onEvent: (event: TrainEvent) => void;
}

/** This process is a rank that a launcher started; the first shows how the job goes. */
async function trainLaunched(
  place: Place,
  { model, settings, options, signal, onEvent }: Shared & { model: YOLO },
): Promise<void> {
  const { trainRank } = await import('../ranks/train-rank.ts');
  const shown = place.rank === 0 ? onEvent : warningsOnly(onEvent);
  process.env.OMP_NUM_THREADS ??= String(threadsOfRank(place.localSize));
  await trainRank(place, { model, options, timeout: settings.timeout, signal, onEvent: shown });
}

/** Starts a process for each rank on this machine. */
async function trainSupervised({ settings, options, signal, onEvent }: Shared): Promise<void> {
  const { superviseRanks } = await import('../ranks/supervisor.ts');
  const { requireShareable } = await import('@mezzo/detect');
  const { model, timeout } = settings;
  const ranks = settings.ranks!;
  // A run that goes on has the batch of its checkpoint, which the ranks read.
  if (settings.resume === false) requireShareable(settings, ranks);
  const threads = process.env.OMP_NUM_THREADS ?? String(threadsOfRank(ranks));
  await superviseRanks({ model, options, timeout }, { ranks, threads, signal, onEvent });
}

/** A data set that cannot be used is told before anything is installed or loaded. */
async function requireData({ data, resume, datasets_dir }: TrainSettings): Promise<void> {
  if (resume !== false && resume !== 'auto') return;
  if (data === null) {
    throw new UsageError(
      'USAGE',
      'data= is missing: the data.yaml that names the images and classes',
      'no data at hand? mezzo data shapes --out shapes, then data=shapes/data.yaml',
    );
  }
  const { readDataYaml } = await import('@mezzo/detect');
  await readDataYaml(data, { datasetsDir: datasets_dir });
}

/** What ends a run before its time says how to continue. */
function withWayOn(
  error: unknown,
  command: string,
  { ranks }: TrainSettings,
  saveDir: string | undefined,
): unknown {
  if (!(error instanceof MezzoError) || saveDir === undefined) return error;
  const last = path.join(saveDir, 'weights', 'last.safetensors');
  const between = error.code.startsWith('DISTRIBUTED') || error.code === 'RANK_LOST';
  if (error.code !== 'INTERRUPTED' && !(between && existsSync(last))) return error;
  const way = `continue with: mezzo ${command} resume=${last}${ranks === null ? '' : ` ranks=${ranks}`}`;
  const hint = between && error.hint !== undefined ? `${error.hint}\n${way}` : way;
  return new MezzoError(error.code, error.message, { hint, cause: error });
}
