import { writeFile } from 'node:fs/promises';
import { choosePrecision, selectDevice } from '@mezzo/detect';
import { availableCores, discoverLibTorch, requireLibTorch } from '@mezzo/libtorch';
import { machine } from '../bench/suite.ts';
import type { Call } from '../command.ts';
import { reportFailure } from '../failure.ts';
import { interruptible } from '../interruption.ts';
import { ProgressBar } from '../progress.ts';
import { type Comparison, compare, type FailedLesson, failedLesson, sideOf } from './comparison.ts';
import { describeLesson } from './lessons.ts';
import type { ExampleSettings } from './options.ts';
import { comparisonLines, summaryLines } from './table.ts';
import { type Order, type Training, trainLesson } from './training.ts';

/**
 * Trains lessons in fp32 and in mixed precision, each with every seed, and tells how they compare. Of several lessons one
 * that throws is told and counted as not passed, and the others go on; an only lesson throws its error.
 * @returns the exit code
 */
export async function runLessons(
  names: readonly string[],
  settings: ExampleSettings,
  call: Pick<Call, 'json' | 'terminal'>,
): Promise<number> {
  const { json, terminal } = call;
  const device = selectDevice(settings.device);
  const dtype = lowDtype(settings.dtype, device, terminal.note);
  const examples: (Comparison | FailedLesson)[] = [];
  const compareLesson = async (name: string, signal: AbortSignal): Promise<Comparison> => {
    const side = async (dtype: Order['dtype']) => {
      const trainings: Training[] = [];
      for (const seed of settings.seeds) {
        trainings.push(await trainInView({ name, seed, dtype, device }, call, signal));
      }
      return sideOf(dtype, trainings);
    };
    return compare(name, await describeLesson(name), await side('float32'), await side(dtype));
  };
  await interruptible(
    terminal,
    async (signal) => {
      for (const name of names) {
        if (!json) terminal.print(`${examples.length > 0 ? '\n' : ''}${terminal.bold(name)}`);
        const example = await compareLesson(name, signal).catch((error: unknown) => {
          if (signal.aborted || names.length === 1) throw error;
          terminal.status('');
          reportFailure(error, false, terminal);
          return failedLesson(name, error);
        });
        examples.push(example);
        if (json || 'error' in example) continue;
        for (const line of comparisonLines(example, terminal)) terminal.print(line);
      }
    },
    'Stopping.',
  );
  const passed = examples.every((example) => example.passed);
  if (!json && names.length > 1) {
    for (const line of ['', ...summaryLines(examples, terminal)]) terminal.print(line);
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
    examples,
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
