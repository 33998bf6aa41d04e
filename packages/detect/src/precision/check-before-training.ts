import type { PrecisionPlan, PreflightReport } from '@mezzo/precision';
import type { Split } from '../data/scan.ts';
import type { RunPrecision } from '../engine/precision.ts';
import { realBatch } from './check-batch.ts';
import { checkParts } from './check-detector.ts';
import type { DetectorParts } from './preflight.ts';

export interface TrainingToCheck extends DetectorParts {
  readonly split: Split;
  readonly batch: number;
  readonly imgsz: number;
  readonly channels: number;
  readonly workers: number;
}

/** What a training makes of the verdict. */
export interface CheckedPrecision {
  /** As asked for, or float32 where low precision would do harm. */
  readonly precision: RunPrecision;
  /** Islands that make it sound, to be added to those by hand; null when none are needed. */
  readonly plan: PrecisionPlan | null;
  readonly level: 'info' | 'warning';
  /** For the log. */
  readonly text: string;
  readonly report: PreflightReport & { readonly cached: boolean; readonly cacheNote: string | null };
}

/**
 * The check before a training in low precision. Sound: as asked. Sound with islands: with them. Unsound (hardware,
 * numerics): float32, because a run that fails after hours is worse than one that takes longer. What the check could
 * not judge, for lack of memory or because model or data are at fault in every precision, is said and changes nothing.
 * A known model, batch and machine is not checked twice. Leaves the model as it is.
 */
export async function checkBeforeTraining(training: TrainingToCheck): Promise<CheckedPrecision> {
  const { split, batch, imgsz, channels, workers, precision, device } = training;
  const begun = performance.now();
  const sample = await realBatch({ split, batch, imgsz, channels, device, workers });
  const report = checkParts(
    training,
    sample,
    imgsz,
    split.images.map(({ path }) => path),
  );
  sample.images.dispose();
  const how = report.cached
    ? 'known from an earlier check'
    : `${((performance.now() - begun) / 1000).toFixed(1)} s`;
  const notes = report.cacheNote === null ? '' : `; ${report.cacheNote}`;
  const line = `${report.line} (${how}${notes})`;
  switch (report.verdict) {
    case 'sound':
      return { precision, plan: null, level: 'info', text: line, report };
    case 'sound-with-islands':
      return { precision, plan: report.plan, level: 'info', text: line, report };
    case 'unsound':
      return {
        precision: inFloat32(precision, report.line),
        plan: null,
        level: 'warning',
        text: `${line}. Training in float32 instead; ${remedyOf(report)}; check=false trains as asked`,
        report,
      };
    case 'unavailable':
      return {
        precision,
        plan: null,
        level: 'warning',
        text: `${line}. Training as asked; ${remedyOf(report)}`,
        report,
      };
  }
}

function inFloat32({ channelsLast }: RunPrecision, reason: string): RunPrecision {
  return { enabled: false, dtype: 'float32', scaler: false, channelsLast, reason };
}

const remedyOf = ({ findings }: PreflightReport): string =>
  findings.find(({ severity }) => severity === 'error')?.remedy ?? 'mezzo check says more';
