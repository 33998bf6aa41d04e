/** What the commands for pairs have in common: those for pictures, with other defaults. */
import { existsSync } from 'node:fs';
import type { YOLO } from '@mezzo/detect';
import type { TrainOptions } from '@mezzo/detect/config';
import { UsageError } from './failure.ts';

/** Where runs on pairs go, as in YOLOFuse. */
export const FUSE_PROJECT = 'runs/fuse';

/** Weights, or a description that is there: `yolo11n.yaml` may name the published one. */
const isOwn = (model: string): boolean =>
  /\.(safetensors|pt)$/.test(model) || (/\.ya?ml$/.test(model) && existsSync(model));

/** A training's options with the defaults of pairs: a resumed run, and a model of one's own, have theirs. */
export function dualTraining(options: TrainOptions): TrainOptions {
  if (typeof options.resume === 'string' && options.resume !== 'auto') return options;
  const project = { project: FUSE_PROJECT };
  if (options.resume === true || isOwn(options.model ?? '')) return { ...project, ...options };
  return { ...project, model: 'yolo11n', fusion: 'mid', ...options };
}

/** @throws {UsageError} when the network takes pictures of one sensor */
export function requireDual(
  model: YOLO,
  hint = 'mezzo train-dual trains networks of two; train, val and predict are the commands for this one',
): void {
  if (model.modalities !== null) return;
  throw new UsageError('USAGE', `${model.name} is a network of one stream: it takes no pairs`, hint);
}
