import type { WindowResult } from '@mezzo/torch';
import type { TrainBatch } from '../data/train-loader.ts';
import { streamsOf } from '../fusion/streams.ts';
import type { ImageBlock } from './batch-memory.ts';
import type { TrainingState } from './checkpoint.ts';
import type { TrainEvent } from './event.ts';
import { causeOf, requireHope } from './non-finite.ts';
import type { FollowedRun } from './run.ts';
import type { WindowObserver } from './window-observer.ts';

/** What is counted of a run's windows; part of its checkpoint. */
type Counts = Pick<TrainingState, 'epoch' | 'steps' | 'skipped' | 'skippedInARow' | 'hopeless' | 'observers'>;

/**
 * Counts the accumulation windows of a run, tells of those that were rolled back, and passes all on to the
 * observers. A window is decided at its end, or one window later where nothing waits for a GPU.
 */
export class WindowFollower {
  private readonly run: FollowedRun;
  private readonly at: Counts;
  private readonly observers: readonly WindowObserver[];
  private readonly tell: (event: TrainEvent) => void;
  /** Optimizer steps before this process. */
  private readonly stepsBefore: number;
  /** Pictures of the windows that are open or undecided, by the window's number. */
  private readonly files = new Map<number, string[]>();
  /** Pictures of the window that was decided last. */
  latest: readonly string[] = [];
  /** In training now. */
  private batch: TrainBatch<ImageBlock> | null = null;

  /** @param at counts of the run so far; they go on here */
  constructor(
    run: FollowedRun,
    at: Counts,
    observers: readonly WindowObserver[],
    tell: (event: TrainEvent) => void,
  ) {
    this.run = run;
    this.at = at;
    this.observers = observers;
    this.tell = tell;
    this.stepsBefore = at.steps;
    const { transaction } = run.step;
    transaction.onWindow((result) => this.decided(result));
    for (const observer of observers) {
      observer.restore?.(at.observers?.[observer.name]);
      if (observer.gradients) transaction.onGradients(() => observer.gradients?.());
    }
  }

  /** Runs the step of one batch. */
  follow(batch: TrainBatch<ImageBlock>, step: () => void): void {
    const window = this.run.step.transaction.windows + 1;
    this.files.set(window, [...(this.files.get(window) ?? []), ...batch.paths]);
    this.batch = batch;
    for (const observer of this.observers) observer.beforeBatch?.(batch);
    step();
    this.batch = null;
  }

  /** Passes on the losses, which were just read. */
  losses({ sums, batches }: { sums: readonly number[]; batches: number }, scale: number): void {
    const { at, run } = this;
    const reading = { run, step: at.steps, epoch: at.epoch + 1, skipped: at.skipped, emit: this.tell };
    for (const observer of this.observers) observer.losses?.({ ...reading, sums, batches, scale });
  }

  /** For the checkpoint. */
  observerStates(): Record<string, unknown> {
    return Object.fromEntries(
      this.observers.flatMap((observer) => (observer.state ? [[observer.name, observer.state()]] : [])),
    );
  }

  private decided(result: WindowResult): void {
    const { at, run } = this;
    const { applied, scale, culprits, culpritsByRank } = result;
    const step = this.stepsBefore + result.window;
    at.skippedInARow = applied ? 0 : (at.skippedInARow ?? 0) + 1;
    // With a scale above 1 a lower one may save the next window.
    at.hopeless = applied || (scale ?? 1) > 1 ? 0 : (at.hopeless ?? 0) + 1;
    if (!applied) {
      at.skipped += 1;
      const streams = streamsOf(run.model.description, culprits);
      const ranks = culpritsByRank.map(({ rank }) => rank);
      const cause = causeOf(culprits, streams) + (ranks.length > 0 ? ` on rank ${ranks.join(', ')}` : '');
      this.tell({
        ...{ event: 'skip', step, scale, culprits },
        ...(streams.length > 0 ? { streams } : {}),
        ...(ranks.length > 0 ? { ranks } : {}),
        cause,
      });
    }
    const files = this.files.get(result.window) ?? [];
    this.latest = files;
    const late = result.window < run.step.transaction.windows;
    const context = {
      run,
      step,
      epoch: at.epoch + 1,
      skipped: at.skipped,
      skippedInARow: at.skippedInARow,
      files,
      batch: late ? null : this.batch,
      emit: this.tell,
    };
    this.files.delete(result.window);
    for (const observer of this.observers) observer.afterWindow?.(result, context);
    requireHope(at.hopeless, culprits, files);
  }
}
