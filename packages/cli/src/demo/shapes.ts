import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DoneEvent } from '@mezzo/detect';
import { MezzoError } from '@mezzo/libtorch/errors';
import type { Call } from '../command.ts';
import { comparisonRows } from '../comparison.ts';
import { interruptible } from '../interruption.ts';
import { ampLine } from '../training-view.ts';
import type { DemoSettings } from './options.ts';
import { numbersOf, type Outcome, shortRecipe, trainRun } from './train-run.ts';

/** What both runs must reach on the held-out pictures. */
export const REQUIRED_MAP50 = 0.5;
const EPOCHS = 10;

/** YOLOv8n on generated shapes, in fp32 and with AMP, side by side. */
export async function demoShapes(settings: DemoSettings, call: Call): Promise<number> {
  const { generateShapes } = await import('@mezzo/detect');
  const { out, train, val, imgsz, batch, device, seed } = settings;
  const epochs = settings.epochs ?? EPOCHS;
  // The name says how the set was made, so an existing folder is the same set.
  const folder = join(out, `shapes-${imgsz}px-${train}-${val}-seed${seed}`);
  const data = join(folder, 'data.yaml');
  const say = call.json ? call.terminal.note : call.terminal.print;
  if (!existsSync(data)) {
    say(`Generating ${train} + ${val} pictures of ${imgsz} x ${imgsz} pixels in ${folder}`);
    await generateShapes({ out: folder, train, val, imgsz, seed });
  }
  const trainOnce = (name: string, amp: boolean, signal: AbortSignal) => {
    const where = { project: out, name, exist_ok: true };
    const options = {
      data,
      epochs,
      imgsz,
      batch,
      device,
      seed,
      amp,
      ...where,
      ...shortRecipe(batch, epochs),
    };
    return trainRun(`Training in ${amp ? 'mixed precision' : 'fp32'}`, 'yolov8n', options, call, signal);
  };
  const runs = await interruptible(call.terminal, async (signal) => [
    await trainOnce('fp32', false, signal),
    await trainOnce('amp', true, signal),
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
}

async function drawPredictions(amp: Outcome, folder: string, { out, imgsz, device }: DemoSettings) {
  const { YOLO } = await import('@mezzo/detect');
  const model = await YOLO.load(join(amp.done.saveDir, 'weights', 'best.safetensors'));
  const where = { project: out, name: 'predict', exist_ok: true, save: true };
  let saveDir = '';
  for await (const result of model.stream(join(folder, 'images', 'val'), { imgsz, device, ...where })) {
    saveDir = result.saveDir ?? saveDir;
  }
  return saveDir;
}

function requireMap50({ best, saveDir }: DoneEvent): void {
  if (best.map50 >= REQUIRED_MAP50) return;
  const message = `${saveDir}: mAP50 ${best.map50.toFixed(3)} is below ${REQUIRED_MAP50}`;
  throw new MezzoError('DEMO_MAP', message, { hint: 'train longer: mezzo demo epochs=30' });
}
