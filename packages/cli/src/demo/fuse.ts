import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { TrainOptions } from '@mezzo/detect/config';
import type { Call } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { counted } from '../number-format.ts';
import { type FuseRun, fuseTable, gainLines } from './fuse-table.ts';
import { keepOutcome, keptOutcome } from './kept-outcome.ts';
import type { DemoSettings } from './options.ts';
import { numbersOf, shortRecipe, trainRun } from './train-run.ts';

const EPOCHS = 20;
const BLOCKS = 'yolo11n';

/** A network of the story; each is trained on the same pairs with the same recipe. */
interface Contender {
  readonly name: string;
  /** Of the run's folder. */
  readonly folder: string;
  readonly options: TrainOptions;
}

const CONTENDERS: readonly Contender[] = [
  { name: 'RGB only', folder: 'rgb', options: { modality: 'visible' } },
  { name: 'IR only', folder: 'ir', options: { modality: 'infrared' } },
  { name: 'early', folder: 'early', options: { fusion: 'early' } },
  { name: 'mid', folder: 'mid', options: { fusion: 'mid' } },
  { name: 'decision', folder: 'decision', options: { fusion: 'decision' } },
  { name: 'mid, fp32', folder: 'mid-fp32', options: { fusion: 'mid', amp: false } },
];

/** One sensor alone and three fusions on generated night pairs, with AMP, and mid in fp32 besides: one table. */
export async function demoFuse(settings: DemoSettings, call: Call): Promise<number> {
  const { generateNight } = await import('@mezzo/detect');
  const { out, pairs, preset, imgsz, batch, device, seed, seeds, dropout } = settings;
  const epochs = settings.epochs ?? EPOCHS;
  const val = Math.max(1, Math.round(pairs / 5));
  // The name says how the set was made, so an existing folder is the same set.
  const folder = join(out, `${preset}-${imgsz}px-${pairs}-seed${seed}`);
  const data = join(folder, 'data.yaml');
  const say = call.json ? call.terminal.note : call.terminal.print;
  if (!existsSync(data)) {
    say(
      `Generating ${counted(pairs, 'pair')} of ${imgsz} x ${imgsz} pixels in ${folder}, ${val} of them held out`,
    );
    await generateNight({ out: folder, train: pairs - val, val, imgsz, seed, preset });
  }
  const base = {
    data,
    epochs,
    imgsz,
    batch,
    device,
    project: out,
    exist_ok: true,
    ...shortRecipe(batch, epochs),
  };
  const contenders = [...CONTENDERS, ...(dropout > 0 ? [withDropout(dropout)] : [])];
  const runs = contenders.map(({ name }): FuseRun => ({ name, outcomes: [], saved: [] }));
  await interruptible(call.terminal, async (signal) => {
    for (let each = seed; each < seed + seeds; each++) {
      for (const [i, { name, folder: short, options }] of contenders.entries()) {
        const which = `${name}${seeds > 1 ? `, seed ${each}` : ''}`;
        const run = { ...base, ...options, seed: each, name: `${preset}-${short}-seed${each}` };
        const saveDir = resolve(out, run.name);
        let outcome = keptOutcome<FuseRun['outcomes'][number]>(saveDir, run);
        if (outcome !== undefined) {
          call.terminal.note(`${which}: trained before, ${saveDir}`);
        } else {
          const { start, ...told } = await trainRun(`Training ${which}`, BLOCKS, run, call, signal);
          const { params, gflops } = start.model;
          outcome = { ...numbersOf({ start, ...told }), params, gflops, dtype: start.amp.dtype };
          keepOutcome(saveDir, { options: run, outcome });
        }
        runs[i]!.outcomes.push(outcome);
        runs[i]!.saved.push(saveDir);
      }
    }
  });
  const blind = dropout > 0 ? await withoutInfrared(runs.at(-1)!, settings) : [];
  if (call.json) {
    call.terminal.print(JSON.stringify({ data, preset, imgsz, epochs, batch, runs: [...runs, ...blind] }));
    return 0;
  }
  const measured = `${preset}: ${counted(val, 'pair')} held out, ${pairs - val} trained on for ${counted(epochs, 'epoch')}`;
  for (const line of ['', measured, ...fuseTable([...runs, ...blind], imgsz), '', ...gainLines(runs)])
    say(line);
  say(`weights and pictures of each run: ${out}`);
  return 0;
}

const withDropout = (dropout: number): Contender => ({
  name: `mid, dropout ${dropout}`,
  folder: 'mid-dropout',
  options: { fusion: 'mid', modality_dropout: dropout },
});

/** What is left of networks when the infrared pictures are missing. */
async function withoutInfrared(
  { name, outcomes, saved }: FuseRun,
  settings: DemoSettings,
): Promise<FuseRun[]> {
  const { YOLO } = await import('@mezzo/detect');
  const { imgsz, batch, device } = settings;
  const measured = [];
  for (const [i, folder] of saved.entries()) {
    const model = await YOLO.load(join(folder, 'weights', 'best.safetensors'));
    const report = await model.val({ imgsz, batch: 2 * batch, device, plots: false, missing: 'infrared' });
    const { map50, map } = report.summary();
    measured.push({ ...outcomes[i]!, map50, map });
  }
  return [{ name: `${name}, no IR`, outcomes: measured, saved }];
}
