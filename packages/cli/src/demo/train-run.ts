import type { DoneEvent, EpochEvent, StartEvent, TrainEvent } from '@mezzo/detect';
import type { TrainOptions } from '@mezzo/detect/config';
import type { Call } from '../command.ts';
import type { RunNumbers } from '../comparison.ts';
import { TrainingView } from '../training-view.ts';

/** What a training of a demonstration told. */
export interface Outcome {
  readonly start: StartEvent;
  readonly epochs: readonly EpochEvent[];
  readonly done: DoneEvent;
}

/** One training of a story, shown under its title. */
export async function trainRun(
  title: string,
  model: string,
  options: TrainOptions,
  { json, terminal }: Pick<Call, 'json' | 'terminal'>,
  signal: AbortSignal,
): Promise<Outcome> {
  const { YOLO } = await import('@mezzo/detect');
  const { memory } = await import('@mezzo/torch');
  // What the run before left behind is not memory of this one.
  memory.collectGarbage();
  memory.resetPeak();
  const view = json ? undefined : new TrainingView(terminal, false);
  const seen: { start?: StartEvent; done?: DoneEvent; epochs: EpochEvent[] } = { epochs: [] };
  const onEvent = (event: TrainEvent) => {
    view?.show(event);
    if (event.event === 'start') seen.start = event;
    if (event.event === 'epoch') seen.epochs.push(event);
    if (event.event === 'done') seen.done = event;
  };
  if (!json) terminal.print(`\n${terminal.bold(title)}`);
  await (await YOLO.load(model)).train({ ...options, signal, onEvent });
  return { start: seen.start!, epochs: seen.epochs, done: seen.done! };
}

/** An optimizer step a batch and an early end of mosaic: a demonstration has few steps to learn in. */
export const shortRecipe = (batch: number, epochs: number): TrainOptions => ({
  nbs: batch,
  close_mosaic: Math.ceil(epochs / 4),
});

export function numbersOf({ epochs, done }: Outcome): RunNumbers {
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
