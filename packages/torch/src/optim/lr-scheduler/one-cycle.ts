import { OptimizerError } from '../errors.ts';
import type { Optimizer, ParamGroup } from '../optimizer.ts';
import { LRScheduler, type PerGroup, perGroup } from './scheduler.ts';

export interface OneCycleLROptions {
  /** Highest learning rate, for all groups or one each. */
  maxLr: PerGroup<number>;
  /** Length of the cycle in steps; or give `epochs` and `stepsPerEpoch`. */
  totalSteps?: number;
  epochs?: number;
  stepsPerEpoch?: number;
  /** Share of the cycle that rises, in [0, 1]. */
  pctStart?: number;
  annealStrategy?: 'cos' | 'linear';
  /** Move the momentum (SGD) or beta1 (Adam) against the learning rate. */
  cycleMomentum?: boolean;
  baseMomentum?: PerGroup<number>;
  maxMomentum?: PerGroup<number>;
  /** First learning rate = maxLr / divFactor. */
  divFactor?: number;
  /** Last learning rate = first / finalDivFactor. */
  finalDivFactor?: number;
  /** Fall symmetrically to the first rate, then to the last one. */
  threePhase?: boolean;
  lastEpoch?: number;
}

type Level = 'initialLr' | 'maxLr' | 'minLr' | 'maxMomentum' | 'baseMomentum';

interface Phase {
  endStep: number;
  lr: readonly [from: Level, to: Level];
  momentum: readonly [from: Level, to: Level];
}

type Anneal = (from: number, to: number, share: number) => number;

const ANNEAL: Record<'cos' | 'linear', Anneal> = {
  cos: (from, to, share) => to + ((from - to) / 2) * (Math.cos(Math.PI * share) + 1),
  linear: (from, to, share) => (to - from) * share + from,
};

/** The 1cycle policy (arXiv 1708.07120): up to `maxLr`, then down far below the start. One step a batch. */
export class OneCycleLR extends LRScheduler {
  readonly totalSteps: number;
  private readonly phases: readonly Phase[];
  private readonly annealStrategy: 'cos' | 'linear';
  private readonly cycleMomentum: boolean;
  private readonly useBeta1: boolean;

  constructor(optimizer: Optimizer, options: OneCycleLROptions) {
    const {
      pctStart = 0.3,
      annealStrategy = 'cos',
      cycleMomentum = true,
      divFactor = 25,
      finalDivFactor = 1e4,
      threePhase = false,
      lastEpoch = -1,
    } = options;
    const totalSteps = cycleLength(options);
    if (!(pctStart >= 0 && pctStart <= 1)) {
      throw new OptimizerError('VALUE', `Expected float between 0 and 1 pct_start, but got ${pctStart}`);
    }
    if (!Object.hasOwn(ANNEAL, annealStrategy)) {
      throw new OptimizerError(
        'VALUE',
        `anneal_strategy must be one of 'cos' or 'linear', instead got ${annealStrategy}`,
      );
    }
    const maxLrs = perGroup('max_lr', optimizer, options.maxLr);
    const useBeta1 = 'betas' in optimizer.defaults;
    if (cycleMomentum && !useBeta1 && !('momentum' in optimizer.defaults)) {
      throw new OptimizerError(
        'VALUE',
        'optimizer must support momentum or beta1 with `cycle_momentum` option enabled',
      );
    }
    const maxMomentums = perGroup('max_momentum', optimizer, options.maxMomentum ?? 0.95);
    const baseMomentums = perGroup('base_momentum', optimizer, options.baseMomentum ?? 0.85);
    if (lastEpoch === -1) {
      optimizer.paramGroups.forEach((group, i) => {
        group.initialLr = maxLrs[i]! / divFactor;
        group.maxLr = maxLrs[i]!;
        group.minLr = group.initialLr / finalDivFactor;
        if (!cycleMomentum) return;
        group.maxMomentum = maxMomentums[i]!;
        group.baseMomentum = baseMomentums[i]!;
        setMomentum(group, useBeta1, maxMomentums[i]!);
      });
    }
    super(optimizer, lastEpoch);
    this.totalSteps = totalSteps;
    this.phases = phases(totalSteps, pctStart, threePhase);
    this.annealStrategy = annealStrategy;
    this.cycleMomentum = cycleMomentum;
    this.useBeta1 = useBeta1;
    this.begin();
  }

  protected override getLr(): number[] {
    const step = this.lastEpoch;
    if (step > this.totalSteps) {
      throw new OptimizerError(
        'VALUE',
        `Tried to step ${step} times. The specified number of total steps is ${this.totalSteps}`,
      );
    }
    const found = this.phases.findIndex(({ endStep }) => step <= endStep);
    const index = found === -1 ? this.phases.length - 1 : found;
    const phase = this.phases[index]!;
    const startStep = this.phases[index - 1]?.endStep ?? 0;
    const share = (step - startStep) / (phase.endStep - startStep);
    const anneal = ANNEAL[this.annealStrategy];
    const between = (group: ParamGroup, [from, to]: Phase['lr']) => anneal(group[from]!, group[to]!, share);
    return this.optimizer.paramGroups.map((group) => {
      if (this.cycleMomentum) setMomentum(group, this.useBeta1, between(group, phase.momentum));
      return between(group, phase.lr);
    });
  }

  protected override stateNames() {
    return [
      ['total_steps', 'totalSteps'] as const,
      ['_anneal_func_type', 'annealStrategy'] as const,
      ['cycle_momentum', 'cycleMomentum'] as const,
      ['use_beta1', 'useBeta1'] as const,
      ...super.stateNames(),
    ];
  }
}

function cycleLength({ totalSteps, epochs, stepsPerEpoch }: OneCycleLROptions): number {
  const positive = (name: string, value: number) => {
    if (Number.isInteger(value) && value > 0) return value;
    throw new OptimizerError('VALUE', `Expected positive integer ${name}, but got ${value}`);
  };
  if (totalSteps !== undefined) return positive('total_steps', totalSteps);
  if (epochs !== undefined && stepsPerEpoch !== undefined) {
    return positive('epochs', epochs) * positive('steps_per_epoch', stepsPerEpoch);
  }
  throw new OptimizerError('VALUE', 'You must define either total_steps OR (epochs AND steps_per_epoch)');
}

function phases(totalSteps: number, pctStart: number, threePhase: boolean): Phase[] {
  const up: Phase = {
    endStep: pctStart * totalSteps - 1,
    lr: ['initialLr', 'maxLr'],
    momentum: ['maxMomentum', 'baseMomentum'],
  };
  if (!threePhase) {
    return [
      up,
      { endStep: totalSteps - 1, lr: ['maxLr', 'minLr'], momentum: ['baseMomentum', 'maxMomentum'] },
    ];
  }
  return [
    up,
    {
      endStep: 2 * pctStart * totalSteps - 2,
      lr: ['maxLr', 'initialLr'],
      momentum: ['baseMomentum', 'maxMomentum'],
    },
    { endStep: totalSteps - 1, lr: ['initialLr', 'minLr'], momentum: ['maxMomentum', 'maxMomentum'] },
  ];
}

function setMomentum(group: ParamGroup, useBeta1: boolean, momentum: number): void {
  if (useBeta1) group.betas = [momentum, group.betas![1]];
  else group.momentum = momentum;
}
