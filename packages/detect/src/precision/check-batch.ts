import { keep, scope } from '@mezzo/torch';
import type { LabelledImage, Split } from '../data/scan.ts';
import { imagesOf, openValBatches } from '../engine/batches.ts';
import type { DeviceName } from '../engine/device.ts';
import type { CheckBatch } from './preflight.ts';

export interface BatchRequest {
  split: Split;
  batch: number;
  imgsz: number;
  channels: number;
  device: DeviceName;
  workers: number;
}

/** Pictures of the training set with boxes on them, letterboxed and not augmented; few pictures come several times. */
export async function realBatch(request: BatchRequest): Promise<CheckBatch> {
  const { split, batch, ...loading } = request;
  const images = spread(split.images, batch);
  const loader = openValBatches({
    ...loading,
    split: { ...split, images },
    batch,
    rect: false,
    strict: false,
    cacheRam: false,
    // What cannot be read is told by the training itself; here its picture stays grey.
    onSkip: () => {},
  });
  for await (const loaded of loader.run()) {
    const copied = scope(() => keep(imagesOf(loaded).clone()));
    loaded.memory.release();
    return { images: copied, rows: loaded.targets, synthetic: false };
  }
  throw new RangeError('a split without images');
}

/** `count` images spread over the set, those with labels if there are any. */
export function spread(images: readonly LabelledImage[], count: number): LabelledImage[] {
  const labelled = images.filter(({ labels }) => labels.length > 0);
  const pool = labelled.length > 0 ? labelled : images;
  return Array.from({ length: count }, (_, i) => pool[Math.floor((i * pool.length) / count)]!);
}
