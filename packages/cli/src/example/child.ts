import { writeSync } from 'node:fs';
import { MezzoError } from '@mezzo/libtorch/errors';
import { cuda, memory } from '@mezzo/torch';
import { moduleOf } from './lessons.ts';
import type { Order, Report, Training } from './training.ts';

/** What the modules of examples/ export, as far as this process calls it. */
interface LessonModule {
  readonly lesson: { train(run: object): Outcome | Promise<Outcome> };
}
interface HarnessModule {
  openRun(order: Order, progress: (step: number, steps: number, text?: string) => void): object;
}
type Outcome = { untrained: number; trained: number } & Record<string, number>;

/** Written at once, also from within a loop that never yields; a parent that is gone ends this process. */
const tell = (report: Report) => writeSync(3, `${JSON.stringify(report)}\n`);

const PROGRESS_MS = 100;

async function train(order: Order): Promise<Training> {
  const { lesson } = (await import(moduleOf(order.name))) as LessonModule;
  const { openRun } = (await import(moduleOf('lesson'))) as HarnessModule;
  let told = Number.NEGATIVE_INFINITY;
  const run = openRun(order, (step, steps, text) => {
    if (performance.now() - told < PROGRESS_MS && step < steps) return;
    told = performance.now();
    tell({ progress: { step, steps, text } });
  });
  const started = performance.now();
  const { untrained, trained, ...details } = await lesson.train(run);
  const seconds = (performance.now() - started) / 1000;
  const peakBytes = order.device.startsWith('cuda')
    ? cuda.maxMemoryAllocated(order.device)
    : memory.stats().peakBytes;
  return { seed: order.seed, untrained, trained, seconds, peakBytes, details };
}

try {
  tell({ done: await train(JSON.parse(process.argv[2]!) as Order) });
} catch (error) {
  if (error instanceof MezzoError) {
    tell({ failed: { code: error.code, message: error.message, hint: error.hint } });
  } else {
    // A mistake in a lesson: where it is helps whoever writes it.
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    tell({ failed: { code: 'EXAMPLE_FAILED', message } });
  }
}
