import type { TrainEvent } from '@mezzo/detect';
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

/** Trains with the options of a command line. */
export async function runTraining(
  { json, terminal }: Call,
  command: 'train' | 'train-dual',
  options: TrainOptions,
): Promise<number> {
  const settings = resolveSettings('train', options);
  await requireData(settings);
  const model = await openDetector(settings.model, terminal);
  if (command === 'train-dual' && settings.fusion === null && settings.resume === false) {
    const streams = `pretrained=${settings.model} loads its weights into both streams of a network that model names`;
    requireDual(model, `${streams}: model=yolo11n, fusion=mid, …`);
  }
  const view = json ? new TrainingLines(terminal) : new TrainingView(terminal, settings.verbose);
  const onEvent = (event: TrainEvent) => view.show(event);
  try {
    await interruptible(terminal, async (signal) => {
      await model.train({ ...options, signal, onEvent });
    });
  } catch (error) {
    throw withWayOn(error, command, view.start?.saveDir);
  }
  return 0;
}

/** A data set that cannot be used is told before anything is installed or loaded. */
async function requireData({ data, resume, datasets_dir }: TrainSettings): Promise<void> {
  if (resume !== false) return;
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

/** An interruption says how to continue. */
function withWayOn(error: unknown, command: string, saveDir: string | undefined): unknown {
  if (!(error instanceof MezzoError) || error.code !== 'INTERRUPTED' || saveDir === undefined) return error;
  const hint = `continue with: mezzo ${command} resume=${saveDir}/weights/last.safetensors`;
  return new MezzoError('INTERRUPTED', error.message, { hint, cause: error });
}
