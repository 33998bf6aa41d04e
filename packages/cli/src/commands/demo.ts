import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DoneEvent, EpochEvent, StartEvent, TrainEvent } from '@mezzo/detect';
import { type OptionTable, resolveTable, type TableSettings } from '@mezzo/detect/config';
import { MezzoError } from '@mezzo/libtorch/errors';
import type { Call, Command } from '../command.ts';
import { comparisonRows, type RunNumbers } from '../comparison.ts';
import { interruptible } from '../interruption.ts';
import { prepareLibTorch } from '../libtorch-setup.ts';
import { ampLine, TrainingView } from '../training-view.ts';

const options = {
  out: {
    type: 'path',
    default: 'runs/demo',
    help: 'folder for the pictures, the two runs and the predictions',
  },
  epochs: { type: 'int', default: 10, range: [1, 1000], help: 'epochs of each run' },
  train: { type: 'int', default: 256, range: [16, 1e5], help: 'pictures to train on' },
  val: { type: 'int', default: 48, range: [4, 1e5], help: 'held-out pictures' },
  imgsz: { type: 'int', default: 160, range: [64, 1280], help: 'side of a picture in pixels' },
  batch: { type: 'int', default: 16, range: [1, 1024], help: 'images a step' },
  device: { type: 'device', default: null, help: 'cpu, 0 or cuda:0' },
  seed: { type: 'int', default: 0, range: [0, 2 ** 32 - 1], help: 'where all randomness starts' },
} as const satisfies OptionTable;

/** What both runs must reach on the held-out pictures. */
const REQUIRED_MAP50 = 0.5;

export const demo: Command = {
  name: 'demo',
  usage: ['mezzo demo [option=value …]'],
  about:
    'Generates a small detection set, trains YOLOv8n on it twice, in fp32 and in mixed precision, and prints time ' +
    'and memory, mAP, skipped steps and loss scale side by side. Leaves weights, results.png and predicted pictures ' +
    `in runs/demo. Exit code 1 if a run stays below mAP50 ${REQUIRED_MAP50}.`,
  examples: [
    ['mezzo demo', 'two to four minutes on two cores'],
    ['mezzo demo epochs=30 imgsz=320 --out big', 'longer, larger, elsewhere'],
  ],
  options,
  operands: false,
  run: async (call) => {
    const settings = resolveTable(options, call.assignments);
    await prepareLibTorch(call.terminal);
    const { generateShapes } = await import('@mezzo/detect');
    const { out, train, val, imgsz, seed } = settings;
    // The name says how the set was made, so an existing folder is the same set.
    const folder = join(out, `shapes-${imgsz}px-${train}-${val}-seed${seed}`);
    const yaml = join(folder, 'data.yaml');
    const say = call.json ? call.terminal.note : call.terminal.print;
    if (!existsSync(yaml)) {
      say(`Generating ${train} + ${val} pictures of ${imgsz} x ${imgsz} pixels in ${folder}`);
      await generateShapes({ out: folder, train, val, imgsz, seed });
    }
    const runs = await interruptible(call.terminal, async (signal) => [
      await trainOnce('fp32', false, yaml, settings, call, signal),
      await trainOnce('amp', true, yaml, settings, call, signal),
    ]);
    const [fp32, amp] = runs as [Outcome, Outcome];
    const pictures = await drawPredictions(amp, folder, settings);
    if (call.json) {
      const numbers = { fp32: numbersOf(fp32), amp: numbersOf(amp) };
      const saved = { fp32: fp32.done.saveDir, amp: amp.done.saveDir, pictures };
      call.terminal.print(JSON.stringify({ ...numbers, precision: amp.start.amp, saved }));
    } else {
      const rows = comparisonRows(
        ['fp32', amp.start.amp.enabled ? 'AMP' : 'AMP (off)'],
        numbersOf(fp32),
        numbersOf(amp),
      );
      for (const line of ['', ...rows, '', ampLine(amp.start)]) say(line);
      for (const { done } of runs) say(`weights and results.png: ${done.saveDir}`);
      say(`predicted pictures: ${pictures}`);
    }
    for (const { done } of runs) requireMap50(done);
    return 0;
  },
};

interface Outcome {
  readonly start: StartEvent;
  readonly epochs: readonly EpochEvent[];
  readonly done: DoneEvent;
}

async function trainOnce(
  name: string,
  amp: boolean,
  data: string,
  { out, epochs, imgsz, batch, device, seed }: TableSettings<typeof options>,
  { json, terminal }: Call,
  signal: AbortSignal,
): Promise<Outcome> {
  const { YOLO } = await import('@mezzo/detect');
  const view = json ? undefined : new TrainingView(terminal, false);
  const seen: { start?: StartEvent; done?: DoneEvent; epochs: EpochEvent[] } = { epochs: [] };
  const onEvent = (event: TrainEvent) => {
    view?.show(event);
    if (event.event === 'start') seen.start = event;
    if (event.event === 'epoch') seen.epochs.push(event);
    if (event.event === 'done') seen.done = event;
  };
  if (!json) terminal.print(`\n${terminal.bold(`Training in ${amp ? 'mixed precision' : 'fp32'}`)}`);
  const model = await YOLO.load('yolov8n');
  // An optimizer step a batch and an early end of mosaic: a demonstration has few steps to learn in.
  const recipe = { nbs: batch, close_mosaic: Math.ceil(epochs / 4) };
  const run = { data, epochs, imgsz, batch, device, seed, amp, project: out, name, exist_ok: true };
  await model.train({ ...run, ...recipe, signal, onEvent });
  return { start: seen.start!, epochs: seen.epochs, done: seen.done! };
}

async function drawPredictions(
  amp: Outcome,
  folder: string,
  { out, imgsz, device }: TableSettings<typeof options>,
) {
  const { YOLO } = await import('@mezzo/detect');
  const model = await YOLO.load(join(amp.done.saveDir, 'weights', 'best.safetensors'));
  const where = { project: out, name: 'predict', exist_ok: true, save: true };
  let saveDir = '';
  for await (const result of model.stream(join(folder, 'images', 'val'), { imgsz, device, ...where })) {
    saveDir = result.saveDir ?? saveDir;
  }
  return saveDir;
}

function numbersOf({ epochs, done }: Outcome): RunNumbers {
  const seconds = epochs.map((epoch) => epoch.seconds).sort((a, b) => a - b);
  return {
    epochSeconds: seconds[seconds.length >> 1]!,
    peakBytes: Math.max(...epochs.map(({ peakBytes }) => peakBytes)),
    map50: done.best.map50,
    map: done.best.map,
    skipped: epochs.at(-1)!.skipped,
    scale: epochs.at(-1)!.scale,
  };
}

function requireMap50({ best, saveDir }: DoneEvent): void {
  if (best.map50 >= REQUIRED_MAP50) return;
  const message = `${saveDir}: mAP50 ${best.map50.toFixed(3)} is below ${REQUIRED_MAP50}`;
  throw new MezzoError('DEMO_MAP', message, { hint: 'train longer: mezzo demo epochs=30' });
}
