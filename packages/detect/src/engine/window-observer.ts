import type { WindowResult } from '@mezzo/torch';
import type { TrainBatch } from '../data/train-loader.ts';
import type { ImageBlock } from './batch-memory.ts';
import type { TrainEvent } from './event.ts';
import type { FollowedRun } from './run.ts';

/** Where a run stands when a window has been decided. */
export interface WindowContext {
  readonly run: FollowedRun;
  /** Number of the window in the whole run, from 1: what skip events call a step. */
  readonly step: number;
  /** In progress, from 1. */
  readonly epoch: number;
  /** Windows rolled back so far in the whole run, and in a row up to this one. */
  readonly skipped: number;
  readonly skippedInARow: number;
  /** Pictures of the window's batches. */
  readonly files: readonly string[];
  /** The window's last batch; null when the verdict came after it was released, as on CUDA. */
  readonly batch: TrainBatch<ImageBlock> | null;
  /** Tells the user, and the run's log. */
  readonly emit: (event: TrainEvent) => void;
}

/** The losses of an epoch so far, and where the run stands. */
export interface LossesRead extends Pick<WindowContext, 'run' | 'step' | 'epoch' | 'skipped' | 'emit'> {
  /** Sums of the loss's items over batches that were not left out, and how many these are. */
  readonly sums: readonly number[];
  readonly batches: number;
  readonly scale: number;
}

/** Something that follows a run window by window. What it throws ends the run; the model is whole then. */
export interface WindowObserver {
  /** Under which its state is kept in the checkpoint. */
  readonly name: string;
  /** Before the forward pass of each batch. */
  beforeBatch?(batch: TrainBatch<ImageBlock>): void;
  /** At the end of each window: gradients are unscaled and not yet clipped. */
  gradients?(): void;
  /** Once for every window, in order. */
  afterWindow?(result: WindowResult, context: WindowContext): void;
  /** Whenever the losses were read: each batch on a CPU, now and then on a GPU, where that waits for the device. */
  losses?(reading: LossesRead): void;
  /** Plain data for the checkpoint, and what it gave before. */
  state?(): unknown;
  restore?(state: unknown): void;
}
