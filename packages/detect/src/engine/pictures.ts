import path from 'node:path';
import type { LabelledImage } from '../data/scan.ts';
import type { TrainBatch } from '../data/train-loader.ts';
import type { ValBatch } from '../data/val-loader.ts';
import type { Detections } from '../metrics/detections.ts';
import { plotLabels } from '../plots/labels.ts';
import { detectionBoxes, plotMosaic, targetBoxes } from '../plots/mosaic.ts';
import type { ImageBlock } from './batch-memory.ts';

const SAMPLES = 3;
const COLUMNS = 5;

/** Draws what a run trains and validates on, from copies, beside the training. */
export class RunPictures {
  private readonly folder: string;
  private readonly names: readonly string[];
  private readonly enabled: boolean;
  private readonly pending: Promise<void>[] = [];

  constructor(folder: string, names: readonly string[], enabled: boolean) {
    this.folder = folder;
    this.names = names;
    this.enabled = enabled;
  }

  /** `labels.jpg`: how classes and boxes of the training images are distributed. */
  labels(images: readonly LabelledImage[]): void {
    if (!this.enabled) return;
    const count = images.reduce((sum, { labels }) => sum + labels.length / COLUMNS, 0);
    const statistics = { cls: new Int32Array(count), boxes: new Float32Array(4 * count) };
    let row = 0;
    for (const { labels } of images) {
      for (let i = 0; i < labels.length; i += COLUMNS, row++) {
        statistics.cls[row] = labels[i]!;
        statistics.boxes.set(labels.subarray(i + 1, i + COLUMNS), 4 * row);
      }
    }
    this.draw(plotLabels(statistics, this.names, path.join(this.folder, 'labels.jpg')));
  }

  /**
   * `train_batch0.jpg` … 2 of the first epoch, and three more, numbered by their iteration, of the first epoch
   * without mosaic.
   */
  trainBatch(iteration: number, batch: TrainBatch<ImageBlock>, first: boolean): void {
    if (!this.enabled || !first || batch.index >= SAMPLES) return;
    this.batch(batch, this.boxesOf(batch), batch.paths, `train_batch${iteration}.jpg`);
  }

  /** `val_batchN_labels.jpg` and `val_batchN_pred.jpg`; boxes of `found` in the pixels of the network's input. */
  valBatch(batch: ValBatch<ImageBlock>, found: readonly Detections[]): void {
    if (!this.enabled || batch.index >= SAMPLES) return;
    const paths = batch.images.map((image) => image.path);
    this.batch(batch, this.boxesOf(batch), paths, `val_batch${batch.index}_labels.jpg`);
    const boxes = found.map((detections) => detectionBoxes(detections, this.names));
    this.batch(batch, boxes, paths, `val_batch${batch.index}_pred.jpg`);
  }

  /** Waits for every picture; the first failure is thrown. */
  async finish(): Promise<void> {
    await Promise.all(this.pending);
  }

  /** Waits until nothing is drawn any more. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.pending);
  }

  private boxesOf({ targets, shape }: Pick<TrainBatch<ImageBlock>, 'targets' | 'shape'>) {
    const [count, height, width] = shape;
    return targetBoxes(targets, count, { width, height }, this.names);
  }

  private batch(
    { memory, shape }: Pick<TrainBatch<ImageBlock>, 'memory' | 'shape'>,
    boxes: ReturnType<typeof targetBoxes>,
    paths: readonly string[],
    name: string,
  ): void {
    const [count, height, width, channels] = shape;
    // A copy, because the loader writes the next batch into this memory.
    const data = Uint8Array.from(memory.bytes.subarray(0, count * height * width * channels));
    this.draw(plotMosaic({ data, width, height, channels, paths, boxes }, path.join(this.folder, name)));
  }

  private draw(picture: Promise<unknown>): void {
    const done = picture.then(() => undefined);
    // Its error is thrown by `finish`; until then it is not an unhandled one.
    done.catch(() => undefined);
    this.pending.push(done);
  }
}
