import { OptimizerError } from '../errors.ts';
import type { Optimizer } from '../optimizer.ts';
import type { PerGroup } from './scheduler.ts';

export interface ReduceLROnPlateauOptions {
  /** Whether the metric should fall or rise. */
  mode?: 'min' | 'max';
  /** lr ← lr · factor, below 1. */
  factor?: number;
  /** Epochs without improvement that are let pass. */
  patience?: number;
  /** What counts as an improvement: this share of the best ('rel') or this much ('abs'). */
  threshold?: number;
  thresholdMode?: 'rel' | 'abs';
  /** Epochs after a reduction in which bad ones do not count. */
  cooldown?: number;
  minLr?: PerGroup<number>;
  /** Smaller changes of the learning rate are not made. */
  eps?: number;
}

/** Under PyTorch's names. A `best` that no metric has touched is infinite, which JSON cannot hold: null. */
export interface PlateauState {
  factor: number;
  default_min_lr: number | null;
  min_lrs: number[];
  patience: number;
  cooldown: number;
  eps: number;
  last_epoch: number;
  _last_lr: number[];
  mode: 'min' | 'max';
  threshold: number;
  threshold_mode: 'rel' | 'abs';
  best: number | null;
  cooldown_counter: number;
  num_bad_epochs: number;
}

type IsBetter = (value: number, best: number, threshold: number) => boolean;

const IS_BETTER: Record<string, IsBetter> = {
  'min rel': (value, best, threshold) => value < best * (1 - threshold),
  'min abs': (value, best, threshold) => value < best - threshold,
  'max rel': (value, best, threshold) => value > best * (threshold + 1),
  'max abs': (value, best, threshold) => value > best + threshold,
};

const worst = (mode: 'min' | 'max') => (mode === 'min' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY);

/** Reduces the learning rates when a metric has stopped improving; `step(metric)` once an epoch. */
export class ReduceLROnPlateau {
  readonly optimizer: Optimizer;
  mode: 'min' | 'max';
  factor: number;
  patience: number;
  threshold: number;
  thresholdMode: 'rel' | 'abs';
  cooldown: number;
  eps: number;
  best: number;
  cooldownCounter = 0;
  numBadEpochs = 0;
  lastEpoch = 0;
  private defaultMinLr: number | null;
  private minLrs: number[];
  private lastLr: number[];

  constructor(optimizer: Optimizer, options: ReduceLROnPlateauOptions = {}) {
    const { mode = 'min', factor = 0.1, thresholdMode = 'rel', minLr = 0 } = options;
    if (factor >= 1) throw new OptimizerError('VALUE', 'Factor should be < 1.0.');
    if (!['min', 'max'].includes(mode)) throw new OptimizerError('VALUE', `mode ${mode} is unknown!`);
    if (!['rel', 'abs'].includes(thresholdMode)) {
      throw new OptimizerError('VALUE', `threshold mode ${thresholdMode} is unknown!`);
    }
    const groups = optimizer.paramGroups.length;
    if (typeof minLr !== 'number' && minLr.length !== groups) {
      throw new OptimizerError('VALUE', `expected ${groups} min_lrs, got ${minLr.length}`);
    }
    this.optimizer = optimizer;
    this.mode = mode;
    this.factor = factor;
    this.patience = options.patience ?? 10;
    this.threshold = options.threshold ?? 1e-4;
    this.thresholdMode = thresholdMode;
    this.cooldown = options.cooldown ?? 0;
    this.eps = options.eps ?? 1e-8;
    this.best = worst(mode);
    this.defaultMinLr = typeof minLr === 'number' ? minLr : null;
    this.minLrs = typeof minLr === 'number' ? new Array<number>(groups).fill(minLr) : [...minLr];
    this.lastLr = optimizer.paramGroups.map((group) => group.lr);
  }

  step(metric: number): void {
    this.lastEpoch += 1;
    if (IS_BETTER[`${this.mode} ${this.thresholdMode}`]!(metric, this.best, this.threshold)) {
      this.best = metric;
      this.numBadEpochs = 0;
    } else {
      this.numBadEpochs += 1;
    }
    if (this.cooldownCounter > 0) {
      this.cooldownCounter -= 1;
      this.numBadEpochs = 0;
    }
    if (this.numBadEpochs > this.patience) {
      this.reduce();
      this.cooldownCounter = this.cooldown;
      this.numBadEpochs = 0;
    }
    this.lastLr = this.optimizer.paramGroups.map((group) => group.lr);
  }

  getLastLr(): number[] {
    return [...this.lastLr];
  }

  stateDict(): PlateauState {
    return {
      factor: this.factor,
      default_min_lr: this.defaultMinLr,
      min_lrs: [...this.minLrs],
      patience: this.patience,
      cooldown: this.cooldown,
      eps: this.eps,
      last_epoch: this.lastEpoch,
      _last_lr: [...this.lastLr],
      mode: this.mode,
      threshold: this.threshold,
      threshold_mode: this.thresholdMode,
      best: Number.isFinite(this.best) ? this.best : null,
      cooldown_counter: this.cooldownCounter,
      num_bad_epochs: this.numBadEpochs,
    };
  }

  loadStateDict(state: PlateauState): void {
    this.factor = state.factor;
    this.defaultMinLr = state.default_min_lr;
    this.minLrs = [...state.min_lrs];
    this.patience = state.patience;
    this.cooldown = state.cooldown;
    this.eps = state.eps;
    this.lastEpoch = state.last_epoch;
    this.lastLr = [...state._last_lr];
    this.mode = state.mode;
    this.threshold = state.threshold;
    this.thresholdMode = state.threshold_mode;
    this.best = state.best ?? worst(state.mode);
    this.cooldownCounter = state.cooldown_counter;
    this.numBadEpochs = state.num_bad_epochs;
  }

  private reduce(): void {
    const groups = this.optimizer.paramGroups;
    if (groups.length !== this.minLrs.length) {
      if (this.defaultMinLr === null) {
        throw new OptimizerError(
          'RUNTIME',
          `The number of param groups in the \`optimizer\` (${groups.length}) differs from when ` +
            `\`ReduceLROnPlateau\` was initialized (${this.minLrs.length}), usually due to a new param group ` +
            'being added to the optimizer. Please modify the `min_lrs` field to match the length of the ' +
            '`optimizer` param groups.',
        );
      }
      this.minLrs = new Array<number>(groups.length).fill(this.defaultMinLr);
    }
    groups.forEach((group, i) => {
      const reduced = Math.max(group.lr * this.factor, this.minLrs[i]!);
      if (group.lr - reduced > this.eps) group.lr = reduced;
    });
  }
}
