/** Learning rate, momentum and accumulation of every iteration, as functions of its number: nothing is stored. */

import type { TrainSettings } from '../config/index.ts';
import { roundHalfEven } from '../rounding.ts';

/** The `warmup_rule` option: `epochs` is Ultralytics 8.4's rule, `floor100` the one of 8.3 and before. */
export type WarmupRule = 'floor100' | 'epochs';

export interface ScheduleOptions {
  rule: WarmupRule;
  epochs: number;
  /** Batches in an epoch. */
  batches: number;
  batch: number;
  /** Nominal batch: gradients accumulate until about this many images were seen. */
  nbs: number;
  /** Batches of an optimizer step, instead of those that `nbs` asks for. */
  accumulate?: number | null;
  lr0: number;
  /** Final learning rate as a fraction of `lr0`. */
  lrf: number;
  cosLr: boolean;
  momentum: number;
  warmupEpochs: number;
  warmupMomentum: number;
  warmupBiasLr: number;
}

/** What holds while iteration `ni` (counted from 0 over the whole training) runs. */
export interface IterationPlan {
  lrBias: number;
  lrOther: number;
  momentum: number;
  /** Batches after which the optimizer steps. */
  accumulate: number;
}

/** Factor on the initial learning rate in epoch `epoch` (from 0) of `epochs`. */
export function epochFactor(epoch: number, epochs: number, lrf: number, cosine: boolean): number {
  if (cosine) return ((1 - Math.cos((epoch * Math.PI) / epochs)) / 2) * (lrf - 1) + 1;
  return Math.max(1 - epoch / epochs, 0) * (1 - lrf) + lrf;
}

/** Weight decay after scaling by the images that one optimizer step sees. */
export function scaledWeightDecay(
  decay: number,
  batch: number,
  nbs: number,
  accumulate: number | null = null,
): number {
  return (decay * batch * nominalAccumulate(batch, nbs, accumulate)) / nbs;
}

/** Batches that make up a nominal batch, unless their number is given. */
export function nominalAccumulate(batch: number, nbs: number, accumulate: number | null = null): number {
  return accumulate ?? Math.max(roundHalfEven(nbs / batch), 1);
}

// numpy.interp over two points, in its order of operations.
function ramp(x: number, x1: number, y0: number, y1: number): number {
  if (x >= x1) return y1;
  return ((y1 - y0) / x1) * x + y0;
}

/** Iterations of warm-up; -1 when there is none. */
export function warmupIterations(options: ScheduleOptions): number {
  const { rule, warmupEpochs, batches, epochs } = options;
  if (warmupEpochs <= 0) return -1;
  if (rule === 'floor100') return Math.max(roundHalfEven(warmupEpochs * batches), 100);
  return roundHalfEven(Math.min(warmupEpochs, epochs - 1) * batches);
}

/** The plan of iteration `ni`. Verified against the golden traces of both releases. */
export function planIteration(options: ScheduleOptions, ni: number): IterationPlan {
  const { rule, epochs, batches, batch, nbs, lr0, momentum, accumulate = null } = options;
  const epoch = Math.floor(ni / batches);
  const lr = lr0 * epochFactor(epoch, epochs, options.lrf, options.cosLr);
  const nominal = nominalAccumulate(batch, nbs, accumulate);
  // A run shorter than a nominal batch steps at its end.
  const most = rule === 'floor100' ? nominal : Math.min(nominal, batches * epochs);
  const warmup = warmupIterations(options);
  if (ni > warmup) return { lrBias: lr, lrOther: lr, momentum, accumulate: most };
  const target = rule === 'floor100' ? (accumulate ?? nbs / batch) : most;
  return {
    lrBias: ramp(ni, warmup, options.warmupBiasLr, lr),
    lrOther: ramp(ni, warmup, 0, lr),
    momentum: ramp(ni, warmup, options.warmupMomentum, momentum),
    accumulate: Math.max(1, roundHalfEven(ramp(ni, warmup, 1, target))),
  };
}

/** The optimizers that `optimizer=` names. */
export type OptimizerName = Exclude<TrainSettings['optimizer'], 'auto'>;

/** Learning rate and momentum that `optimizer=auto` chooses; its warm-up starts biases at 0. */
export interface OptimizerChoice {
  name: OptimizerName;
  lr0: number;
  momentum: number;
  warmupBiasLr: number;
}

/** What `optimizer=auto` leaves without effect; null: nothing that was given. */
export function ignoredByAuto({
  optimizer,
  lr0,
  momentum,
}: Pick<TrainSettings, 'optimizer' | 'lr0' | 'momentum'>): string | null {
  if (optimizer !== 'auto' || (lr0 === 0.01 && momentum === 0.937)) return null;
  return `optimizer=auto chooses rate and momentum itself: lr0=${lr0} and momentum=${momentum} have no effect; name an optimizer to use them`;
}

/** The `auto` rule: SGD for more than 10,000 optimizer steps, AdamW scaled by the number of classes below. */
export function autoOptimizer(
  images: number,
  batch: number,
  /** Images of an optimizer step. */
  nbs: number,
  epochs: number,
  classes: number,
): OptimizerChoice {
  const iterations = Math.ceil(images / Math.max(batch, nbs)) * epochs;
  if (iterations > 10_000) return { name: 'SGD', lr0: 0.01, momentum: 0.9, warmupBiasLr: 0 };
  const lr0 = Number(((0.002 * 5) / (4 + classes)).toFixed(6));
  return { name: 'AdamW', lr0, momentum: 0.9, warmupBiasLr: 0 };
}
