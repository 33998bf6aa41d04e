import { autopsyText, type RandomStates } from '@mezzo/precision';
import { getRngState, scope, tensor, type WindowResult } from '@mezzo/torch';
import type { TrainBatch } from '../data/train-loader.ts';
import type { ImageBlock } from '../engine/batch-memory.ts';
import { imagesOf } from '../engine/batches.ts';
import type { AutopsyTrigger } from '../engine/event.ts';
import type { FollowedRun } from '../engine/run.ts';
import type { WindowContext, WindowObserver } from '../engine/window-observer.ts';
import { streamOf } from '../fusion/streams.ts';
import { autopsyOfBatch, type SkippedBatch } from './autopsy.ts';

export interface AutopsyObserverOptions {
  /** After the first skip of a row too (`--autopsy`), not only when skips repeat. */
  readonly afterFirst: boolean;
}

// A scale of 65536 is often too large by 2^3 or 2^4 at the start: so many skips in a row are how it is found.
const REPEATED = 6;
/** In a run. */
const MOST = 3;

interface KeptBatch {
  readonly random: RandomStates;
  readonly paths: readonly string[];
  readonly targets: Float32Array;
  /** A copy, where the batch's own memory may be released before the verdict; else null. */
  readonly pixels: Uint8Array | null;
  readonly shape: TrainBatch<ImageBlock>['shape'];
  readonly input: TrainBatch<ImageBlock>['input'];
}

/**
 * Makes an autopsy of a window's last batch when windows are skipped: at the first of a row if asked to, and at
 * the sixth; three times in a run at most. The run goes on as if it had not been made. Where the verdict on a
 * window comes one window late (CUDA), the batch is replayed with the weights that are there then.
 */
export class AutopsyObserver implements WindowObserver {
  readonly name = 'autopsy';
  private readonly run: FollowedRun;
  private readonly options: AutopsyObserverOptions;
  private readonly kept = new Map<number, KeptBatch>();
  private made = 0;
  private row = 0;

  constructor(run: FollowedRun, options: AutopsyObserverOptions) {
    this.run = run;
    this.options = options;
  }

  beforeBatch(batch: TrainBatch<ImageBlock>): void {
    if (this.made === MOST) return;
    const { device, step } = this.run;
    const late = device !== 'cpu' && (this.options.afterFirst || this.row > 0);
    const { paths, targets, shape, input } = batch;
    const window = step.transaction.windows + 1;
    const random = Object.fromEntries([...new Set(['cpu', device])].map((name) => [name, getRngState(name)]));
    this.kept.set(window, {
      random,
      paths,
      targets,
      shape,
      input,
      pixels: late ? batch.memory.bytes.slice() : null,
    });
  }

  afterWindow({ window, scale }: WindowResult, { step, batch, skippedInARow, emit }: WindowContext): void {
    const kept = this.kept.get(window);
    this.kept.delete(window);
    this.row = skippedInARow;
    const trigger = this.trigger();
    if (trigger === null || kept === undefined || (batch === null && kept.pixels === null)) return;
    this.made += 1;
    const { run } = this;
    const report = scope(() => {
      const images = batch === null ? imagesFrom(kept) : imagesOf(batch);
      const circumstances = {
        scale: scale ?? 1,
        learningRate: run.optimizer.rates()[0],
        random: kept.random,
        plan: run.islands.applied,
      };
      return autopsyOfBatch(run, { ...kept, images }, circumstances);
    });
    const layer = report.fault?.layer ?? null;
    const stream = layer === null ? null : streamOf(run.model.description, layer);
    const text = autopsyText(report);
    emit({
      ...{ event: 'autopsy', step, trigger, files: kept.paths, ...report },
      report: stream === null ? text : `${text}\nThe layer belongs to the stream ${stream}.`,
      ...(stream === null ? {} : { stream }),
    });
  }

  private trigger(): AutopsyTrigger | null {
    if (this.made === MOST) return null;
    if (this.row === 1 && this.options.afterFirst) return 'first-skip';
    return this.row === REPEATED ? 'repeated-skips' : null;
  }

  state(): unknown {
    return { made: this.made, row: this.row };
  }

  restore(state: unknown): void {
    const { made = 0, row = 0 } = (state ?? {}) as { made?: number; row?: number };
    this.made = made;
    this.row = row;
  }
}

function imagesFrom({ pixels, shape: [count, height, width, channels] }: KeptBatch): SkippedBatch['images'] {
  return tensor(pixels!, { dtype: 'uint8' }).view([count, height, width, channels]).permute([0, 3, 1, 2]);
}
