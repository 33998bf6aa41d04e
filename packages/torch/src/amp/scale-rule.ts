import { describe } from '../ops/schema.ts';
import { AmpError } from './errors.ts';

/**
 * A loss-scale rule as data: what systems do differently, one field each. `advance` carries any of them out.
 * Every field is plain JSON, so a rule travels in a checkpoint.
 */
export interface ScaleRule {
  readonly name: string;
  /**
   * `dynamic` follows the overflows · `static` never moves · `computed` follows the largest gradient:
   * scale = 2^floor(log2(65504 / (2^headroom · m))), m the running maximum of |gradient| after unscaling: the
   * geometric mean, over about `growthInterval` windows, of each window's largest.
   */
  readonly kind: 'dynamic' | 'static' | 'computed';
  /** The first scale. */
  readonly init: number;
  /** Above 1. */
  readonly growthFactor: number;
  /** Clean windows in a row that make the scale grow; `computed`: windows that the running maximum looks back on. */
  readonly growthInterval: number;
  /** Between 0 and 1. */
  readonly backoffFactor: number;
  /** No cut goes below it; null: down to 0. */
  readonly floor: number | null;
  /** An overflow at the floor is an error. */
  readonly raiseAtFloor: boolean;
  /** No growth goes above it; null: see `beyondFinite`. */
  readonly ceiling: number | null;
  /** The cut comes with the n-th overflow, and then with each until the patience is refilled. */
  readonly hysteresis: number;
  /** When the patience is refilled: with every clean window, or with a growth only. */
  readonly refill: 'clean' | 'growth';
  /** Whether the clean window at hand counts before the count is compared, or (Flax, DeepSpeed) only after. */
  readonly count: 'before' | 'after';
  /** The count of clean windows after a growth; 1 (DeepSpeed): the window that grew is the next one's first. */
  readonly countAfterGrowth: 0 | 1;
  /** A growth past the largest float32: left out (PyTorch), ended at that largest number (Flax), or let be (Keras). */
  readonly beyondFinite: 'refuse' | 'clamp' | 'allow';
  /** `computed` only: bits kept free above the largest gradient; a fraction will do. */
  readonly headroom: number;
  /** `computed`: further bits at the start, when gradients still grow; they go one by one over `startWindows`. */
  readonly startHeadroom: number;
  readonly startWindows: number;
}

/** Where a rule stands. All of it is needed to go on exactly. */
export interface ScaleState {
  readonly scale: number;
  /** Clean windows since the scale last changed. */
  readonly tracker: number;
  /** Overflows until the next cut; 1: the next one cuts. */
  readonly patience: number;
  /** Overflows met in all. */
  readonly skipped: number;
  /** `computed`: the running maximum of |gradient| after unscaling; 0: none yet. */
  readonly largest: number;
  /** `computed`: windows until the start's headroom is gone. */
  readonly starting: number;
}

/** What one window of training met. */
export interface Verdict {
  readonly overflow: boolean;
  /** Largest |gradient| after unscaling, of those that are produced in fp16; null when nobody measured. */
  readonly largest: number | null;
}

export type ScaleChange = 'none' | 'growth' | 'cut' | 'spared' | 'at floor';

export const FLOAT16_MAX = 65504;
export const FLOAT32_MAX = 3.4028234663852886e38;
/** The smallest normal float32. */
export const FLOAT32_TINY = 2 ** -126;

/** The rule of torch.amp.GradScaler. */
export const TORCH_RULE: ScaleRule = {
  name: 'torch',
  kind: 'dynamic',
  init: 65536,
  growthFactor: 2,
  growthInterval: 2000,
  backoffFactor: 0.5,
  floor: null,
  raiseAtFloor: false,
  ceiling: null,
  hysteresis: 1,
  refill: 'growth',
  count: 'before',
  countAfterGrowth: 0,
  beyondFinite: 'refuse',
  headroom: 0,
  startHeadroom: 0,
  startWindows: 0,
};

/** Whether LibTorch's own kernel `_amp_update_scale_` carries out this rule, a floor aside that only clamps. */
export const isKernelRule = (rule: ScaleRule): boolean =>
  rule.kind === 'dynamic' &&
  !rule.raiseAtFloor &&
  rule.ceiling === null &&
  rule.hysteresis === 1 &&
  rule.count === 'before' &&
  rule.countAfterGrowth === 0 &&
  rule.beyondFinite === 'refuse';

export const startOf = (rule: ScaleRule): ScaleState => ({
  scale: Math.fround(rule.init),
  tracker: 0,
  patience: rule.hysteresis,
  skipped: 0,
  largest: 0,
  starting: rule.startWindows,
});

/**
 * One window further. The scale is a float32 as it is on the device; nothing is changed in place. A change
 * of `at floor` means an overflow while the scale stood at its floor already.
 * @throws AmpError VALUE for an `overflow` that is no boolean
 */
export function advance(
  rule: ScaleRule,
  state: ScaleState,
  verdict: Verdict,
): { state: ScaleState; change: ScaleChange } {
  if (typeof verdict.overflow !== 'boolean') {
    throw new AmpError(
      'VALUE',
      `the verdict of a window must be true or false, not ${describe(verdict.overflow)}`,
    );
  }
  const counted = verdict.overflow ? { ...state, skipped: state.skipped + 1 } : state;
  if (rule.kind === 'static') return { state: counted, change: 'none' };
  if (rule.kind === 'computed') return followLargest(rule, counted, verdict);
  return verdict.overflow ? backOff(rule, counted) : countClean(rule, counted);
}

function backOff(rule: ScaleRule, state: ScaleState): { state: ScaleState; change: ScaleChange } {
  if (state.patience > 1) {
    return { state: { ...state, tracker: 0, patience: state.patience - 1 }, change: 'spared' };
  }
  const { floor } = rule;
  if (floor !== null && state.scale === floor) return { state: { ...state, tracker: 0 }, change: 'at floor' };
  const cut = Math.fround(state.scale * rule.backoffFactor);
  return { state: { ...state, tracker: 0, scale: Math.max(cut, floor ?? 0) }, change: 'cut' };
}

function countClean(rule: ScaleRule, state: ScaleState): { state: ScaleState; change: ScaleChange } {
  const clean = state.tracker + 1;
  // Not equality: an interval lowered below the tracker must not stop the growth for good.
  const due = (rule.count === 'before' ? clean : state.tracker) >= rule.growthInterval;
  const patience = due || rule.refill === 'clean' ? rule.hysteresis : state.patience;
  if (!due) return { state: { ...state, tracker: clean, patience }, change: 'none' };
  const scale = grown(rule, state.scale);
  return {
    state: { ...state, tracker: rule.countAfterGrowth, patience, scale },
    change: scale === state.scale ? 'none' : 'growth',
  };
}

function grown(rule: ScaleRule, scale: number): number {
  const next = Math.fround(scale * rule.growthFactor);
  if (Number.isFinite(next)) return rule.ceiling === null ? next : Math.min(next, rule.ceiling);
  if (rule.beyondFinite === 'refuse') return scale;
  return rule.beyondFinite === 'clamp' ? FLOAT32_MAX : next;
}

/**
 * The running maximum moves towards each window's, in powers of two, by 1 / `growthInterval` of the way. An overflow
 * hides the gradient's size, so it stands for the one that makes the scale back off once; when patience is out, the
 * scale does so at once. A window that nobody measured changes nothing.
 */
function followLargest(
  rule: ScaleRule,
  state: ScaleState,
  { overflow, largest: met }: Verdict,
): { state: ScaleState; change: ScaleChange } {
  if (overflow && rule.floor !== null && state.scale === rule.floor) return { state, change: 'at floor' };
  const starting = Math.max(state.starting - 1, 0);
  const room = FLOAT16_MAX / 2 ** bitsFree(rule, starting);
  const found = overflow ? room / (state.scale * rule.backoffFactor) : met;
  if (found === null || found === 0) return { state, change: 'none' };
  const mean =
    state.largest === 0 ? found : state.largest * (found / state.largest) ** (1 / rule.growthInterval);
  const spared = overflow && state.patience > 1;
  const largest = overflow && !spared ? Math.max(found, mean) : mean;
  const scale = scaleFor(rule, largest, starting);
  const refilled = !overflow && (rule.refill === 'clean' || scale > state.scale);
  const patience = refilled ? rule.hysteresis : state.patience - Number(spared);
  const unchanged = spared ? 'spared' : 'none';
  const change = scale === state.scale ? unchanged : scale > state.scale ? 'growth' : 'cut';
  return { state: { ...state, largest, scale, starting, patience }, change };
}

const bitsFree = ({ headroom, startHeadroom, startWindows }: ScaleRule, starting: number): number =>
  starting === 0 ? headroom : headroom + (startHeadroom * starting) / startWindows;

/** The state after a measurement without a training step: the scale that it calls for, at the start of a run. */
export const calibrated = (rule: ScaleRule, state: ScaleState, largest: number): ScaleState => ({
  ...state,
  scale: scaleFor(rule, largest, rule.startWindows),
  largest,
  starting: rule.startWindows,
});

/**
 * 2^floor(log2(65504 / (2^k · m))) within floor, ceiling and float32; m above 0, k the bits kept free when the start
 * lasts another `starting` windows.
 */
export function scaleFor(rule: ScaleRule, largest: number, starting = 0): number {
  const bound = FLOAT16_MAX / (2 ** bitsFree(rule, starting) * largest);
  const power = Math.min(Math.max(powerOfTwoBelow(bound), FLOAT32_TINY), 2 ** 127);
  return Math.min(Math.max(power, rule.floor ?? 0), rule.ceiling ?? Number.POSITIVE_INFINITY);
}

function powerOfTwoBelow(value: number): number {
  const exponent = Math.floor(Math.log2(value));
  // log2 rounds: just below a power of two it may give that power.
  return 2 ** exponent > value ? 2 ** (exponent - 1) : 2 ** exponent;
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isWhole = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0;
const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 1;
const isPositive = (value: unknown): boolean => isNumber(value) && value > 0;

type Check = readonly [field: keyof ScaleRule, right: (rule: ScaleRule) => boolean, wanted: string];

const ALWAYS: readonly Check[] = [['init', ({ init }) => isPositive(init), 'a number above 0']];

/** Meaningless for a scale that does not move. */
const MOVING: readonly Check[] = [
  ['growthFactor', ({ growthFactor: f }) => isNumber(f) && f > 1, 'a number above 1'],
  ['backoffFactor', ({ backoffFactor: f }) => isNumber(f) && f > 0 && f < 1, 'a number between 0 and 1'],
  ['growthInterval', ({ growthInterval }) => isCount(growthInterval), 'a whole number of at least 1'],
  ['hysteresis', ({ hysteresis }) => isCount(hysteresis), 'a whole number of at least 1'],
  ['headroom', ({ headroom: h }) => isNumber(h) && h >= 0, 'a number of at least 0'],
  ['startHeadroom', ({ startHeadroom: h }) => isNumber(h) && h >= 0, 'a number of at least 0'],
  [
    'startWindows',
    ({ startWindows: n, startHeadroom: h }) => isWhole(n) && (n > 0 || h === 0),
    'a whole number, above 0 where startHeadroom is',
  ],
  [
    'floor',
    ({ floor, init }) => floor === null || (isPositive(floor) && floor <= init),
    'null or a number above 0 and at most init',
  ],
  ['ceiling', ({ ceiling: c, init }) => c === null || (isNumber(c) && c >= init), 'null or at least init'],
  ['raiseAtFloor', ({ raiseAtFloor, floor }) => !raiseAtFloor || floor !== null, 'false without a floor'],
];

/** @throws AmpError VALUE naming the field that makes no sense; a static rule's moving parts are not looked at */
export function checkRule(rule: ScaleRule): void {
  for (const [field, right, wanted] of rule.kind === 'static' ? ALWAYS : [...ALWAYS, ...MOVING]) {
    if (right(rule)) continue;
    throw new AmpError(
      'VALUE',
      `loss-scale rule '${rule.name}': ${field} must be ${wanted}, not ${String(rule[field])}`,
    );
  }
}
