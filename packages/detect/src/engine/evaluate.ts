import type { DetectionResult } from '../metrics/detection.ts';
import { plotConfusion } from '../plots/confusion.ts';
import { plotCurves } from '../plots/curves.ts';
import type { ValBatches } from './batches.ts';
import type { RunPictures } from './pictures.ts';
import { type ValidateOptions, validate } from './validator.ts';

export interface EvaluateOptions extends Omit<ValidateOptions, 'batches' | 'onBatch' | 'loss'> {
  batches: ValBatches;
  pictures: RunPictures;
  /** Where curves and matrices go; null draws none. */
  folder: string | null;
  onBatch?: (done: number) => void;
}

/** A validation with everything a person looks at afterwards. */
export async function evaluate({
  pictures,
  folder,
  batches,
  ...options
}: EvaluateOptions): Promise<DetectionResult> {
  const { result } = await validate({
    ...options,
    batches: batches.run(options.signal ? { signal: options.signal } : {}),
    onNetworkBatch: (batch, found) => pictures.valBatch(batch, found),
  });
  if (folder !== null) {
    await plotCurves(result, folder);
    await plotConfusion(result.confusion, result.names, folder);
  }
  return result;
}
