import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { MezzoError } from '@mezzo/libtorch/errors';

const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));

/** One training of a lesson, as its process is told it on the command line. */
export interface Order {
  readonly name: string;
  readonly seed: number;
  readonly dtype: 'float32' | 'bfloat16' | 'float16';
  readonly device: string;
}

/** What one training gave. */
export interface Training {
  readonly seed: number;
  readonly untrained: number;
  readonly trained: number;
  /** Of the whole lesson: data, training and measuring. */
  readonly seconds: number;
  /** Most bytes in tensors at a time: in LibTorch's allocator of the CPU, or on the card. */
  readonly peakBytes: number;
  readonly details: Readonly<Record<string, number>>;
}

export interface Progress {
  readonly step: number;
  readonly steps: number;
  readonly text?: string | undefined;
}

/** A line from the process of a training. */
export type Report =
  | { readonly progress: Progress }
  | { readonly done: Training }
  | { readonly failed: { code: string; message: string; hint?: string | undefined } };

/**
 * Trains a lesson once, in a process of its own: time and peak memory are this training's alone, and nothing of one
 * training reaches another. What the lesson prints goes to stderr.
 * @throws MezzoError INTERRUPTED after `signal` aborted, the lesson's own error, or EXAMPLE_FAILED
 */
export async function trainLesson(
  order: Order,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<Training> {
  const title = `${order.name} in ${order.dtype}, seed ${order.seed}`;
  const child = spawn(process.execPath, [CHILD, JSON.stringify(order)], {
    stdio: ['ignore', 2, 2, 'pipe'],
    signal,
  });
  const ended = new Promise<string>((resolve) => {
    // An aborted spawn reports an error as well; how the process ended says the same.
    child.on('error', (error) => signal.aborted || resolve(error.message));
    child.on('close', (code, by) => resolve(by ?? `exit code ${code}`));
  });
  let training: Training | undefined;
  for await (const line of createInterface({ input: child.stdio[3] as Readable })) {
    // JSON has no NaN and writes null.
    const report = JSON.parse(line, (_, value: unknown) => value ?? Number.NaN) as Report;
    if ('progress' in report) onProgress(report.progress);
    else if ('done' in report) training = report.done;
    else {
      const { code, message, hint } = report.failed;
      throw new MezzoError(code, `${title}: ${message}`, { hint });
    }
  }
  const how = await ended;
  if (signal.aborted) throw new MezzoError('INTERRUPTED', `the example ${order.name} was interrupted`);
  if (training !== undefined) return training;
  throw new MezzoError('EXAMPLE_FAILED', `${title}: its process ended with ${how}`);
}
