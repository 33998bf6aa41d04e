import { writeFile } from 'node:fs/promises';
import { choosePrecision, selectDevice } from '@mezzo/detect';
import { availableCores, discoverLibTorch, requireLibTorch } from '@mezzo/libtorch';
import { machine } from '../bench/suite.ts';
import type { Call } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { ProgressBar } from '../progress.ts';
import { type Comparison, compare, sideOf } from './comparison.ts';
import { describeLesson } from './lessons.ts';
import type { ExampleSettings } from './options.ts';
import { comparisonLines, summaryLines } from './table.ts';
import { type Order, type Training, trainLesson } from './training.ts';

/** Trains lessons in fp32 and in mixed precision, each with every seed, and tells how they compare. */
export async function runLessons(
  names: readonly string[],
  settings: ExampleSettings,
  call: Pick<Call, 'json' | 'terminal'>,
): Promise<number> {
  const { json, terminal } = call;
  const device = selectDevice(settings.device);
  const dtype = lowDtype(settings.dtype, device, terminal.note);
  const comparisons: Comparison[] = [];
  await interruptible(
    terminal,
    async (signal) => {
      for (const name of names) {
        const description = await describeLesson(name);
        const side = async (dtype: Order['dtype']) => {
          const trainings: Training[] = [];
          for (const seed of settings.seeds) {
            trainings.push(await trainInView({ name, seed, dtype, device }, call, signal));
          }
          return sideOf(dtype, trainings);
        };
        if (!json) terminal.print(`${comparisons.length > 0 ? '\n' : ''}${terminal.bold(name)}`);
        const comparison = compare(name, description, await side('float32'), await side(dtype));
        comparisons.push(comparison);
        if (!json) for (const line of comparisonLines(comparison, terminal)) terminal.print(line);
      }
    },
    'Stopping.',
  );
  const passed = comparisons.every((comparison) => comparison.passed);
  if (!json && names.length > 1) {
    for (const line of ['', ...summaryLines(comparisons, terminal)]) terminal.print(line);
  }
  if (!json && settings.out === null) return passed ? 0 : 1;
  const { version } = requireLibTorch(discoverLibTorch());
  const threads = Number(process.env.OMP_NUM_THREADS || availableCores());
  const report = {
    machine: machine(version, threads),
    date: new Date().toISOString(),
    device,
    seeds: settings.seeds,
    passed,
    examples: comparisons,
  };
  if (settings.out !== null) await writeFile(settings.out, `${JSON.stringify(report, null, 2)}\n`);
  if (json) terminal.print(JSON.stringify(report));
  return passed ? 0 : 1;
}

/** A device whose own choice is fp32 still has its cast to show, in software. */
function lowDtype(
  asked: ExampleSettings['dtype'],
  device: string,
  note: (text: string) => void,
): Exclude<Order['dtype'], 'float32'> {
  const own = choosePrecision(asked ?? true, device, null);
  if (own.dtype !== 'float32') {
    if (own.warning !== undefined) note(own.warning);
    return own.dtype;
  }
  note(`mixed precision is off by default here, because ${own.reason}; bf16 will be emulated and slow`);
  return 'bfloat16';
}

async function trainInView(
  order: Order,
  { terminal }: Pick<Call, 'terminal'>,
  signal: AbortSignal,
): Promise<Training> {
  const { name, dtype, seed } = order;
  const bar = new ProgressBar(terminal, 'step');
  const title = `${name}, ${dtype}, seed ${seed}`;
  terminal.status(title);
  const training = await trainLesson(order, signal, ({ step, steps, text = '' }) =>
    bar.update(`${title}${text === '' ? '' : `, ${text}`}`, step, steps),
  );
  terminal.status('');
  return training;
}
