import type { BoxMetrics, DetectionResult } from '../metrics/detection.ts';
import type { ValSummary } from './event.ts';

/** The outcome of a training's or a command's validation. */
export interface DetectionReport {
  /** `map50`, `map75`, `map` (mAP50-95), `maps` by class, `precision`, `recall`. */
  readonly box: BoxMetrics;
  readonly fitness: number;
  readonly result: DetectionResult;
  /** Where pictures and result files were written. */
  readonly saveDir?: string;
  /** The document `val --json` prints. */
  summary(): ValSummary;
}

export function reportOf(
  result: DetectionResult,
  extra: { saveDir?: string; coco?: Readonly<Record<string, number>> } = {},
): DetectionReport {
  const { box, fitness, perClass, images, instances, speed } = result;
  const { map50, map, precision, recall } = box;
  return {
    box,
    fitness,
    result,
    ...(extra.saveDir === undefined ? {} : { saveDir: extra.saveDir }),
    summary: () => ({ map50, map, precision, recall, images, instances, perClass, speed, ...extra }),
  };
}
