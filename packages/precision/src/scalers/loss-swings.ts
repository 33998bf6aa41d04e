/** What is known of the loss when it was read. */
export interface LossReading {
  /** Number of the last window in the run, from 1. */
  readonly window: number;
  /** Mean over the batches since the reading before. */
  readonly loss: number;
  /** Windows left out so far in the whole run. */
  readonly skipped: number;
  readonly scale: number;
  /** Does the scale follow measured gradients? */
  readonly computed: boolean;
  /** The largest learning rate. */
  readonly lr: number;
}

export interface SwingFinding {
  readonly code: 'LOSS_SWINGS';
  readonly window: number;
  readonly text: string;
  /** What is likely behind it. */
  readonly because: string;
  /** The likeliest first. */
  readonly remedies: readonly string[];
}

interface Turn {
  readonly window: number;
  readonly loss: number;
}

/** Plain data, for the checkpoint. */
export interface SwingState {
  /** Where the loss is going: 1 up, -1 down, 0 not known yet. */
  readonly direction: -1 | 0 | 1;
  /** Smallest and largest loss since it last turned; 0 before the first. */
  readonly low: number;
  readonly high: number;
  readonly turns: readonly Turn[];
  /** Of the first reading: windows left out before it. */
  readonly skippedBefore: number;
  readonly largestScale: number;
  /** Nothing more will be said. */
  readonly done: boolean;
}

/** Only the beginning is watched: this is where a first loss scale and a warm-up show. */
const EARLY = 300;
/**
 * Up or down by less than this is the difference of batches: of 43 trainings in fp32 and bf16 (BCCD, HIT-UAV, generated
 * pictures; batches of 8 and 16) one turned so far in its first 200 steps, once; by 1.5 they turned three times at most.
 */
const FACTOR = 2;
const TURNS = 4;
/** Turns that lie further apart are no oscillation. */
const WITHIN = 60;
/** The usual first scale, and the smallest that is usual. */
const USUAL_BITS = 16;
const SMALL_BITS = 14;

export const startSwings = (): SwingState => ({
  ...{ direction: 0, low: 0, high: 0, turns: [] },
  ...{ skippedBefore: 0, largestScale: 0, done: false },
});

/** Looks at one more reading of the loss of a training under a loss scale. Pure; what there is to say is said once. */
export function watchSwings(
  before: SwingState,
  reading: LossReading,
): { state: SwingState; finding: SwingFinding | null } {
  const { window, loss, scale } = reading;
  if (before.done || !(loss > 0 && Number.isFinite(loss))) return { state: before, finding: null };
  if (window > EARLY) return { state: { ...before, turns: [], done: true }, finding: null };
  const first = before.high === 0;
  const state: SwingState = {
    ...turned(before, { window, loss }),
    skippedBefore: first ? reading.skipped : before.skippedBefore,
    largestScale: Math.max(before.largestScale, scale),
  };
  if (state.turns.length < TURNS) return { state, finding: null };
  return { state: { ...state, turns: [], done: true }, finding: findingOf(state, reading) };
}

/** The loss after one more reading: it turns where it has come back by the factor from its extreme. */
function turned(before: SwingState, { window, loss }: Turn): SwingState {
  const { direction } = before;
  const begun = before.high > 0;
  const low = begun ? Math.min(before.low, loss) : loss;
  const high = Math.max(before.high, loss);
  const up = direction < 1 && loss >= FACTOR * low;
  const down = direction > -1 && loss <= high / FACTOR;
  if (!up && !down) return { ...before, low, high };
  const extreme = up ? low : high;
  // The first way it takes is no turn.
  const turns = direction === 0 ? [] : [...before.turns, { window, loss: extreme }];
  return {
    ...before,
    ...{ direction: up ? 1 : -1, low: loss, high: loss },
    turns: turns.filter((turn) => window - turn.window < WITHIN),
  };
}

function findingOf(
  { turns, skippedBefore, largestScale }: SwingState,
  { window, skipped, scale, computed, lr }: LossReading,
): SwingFinding {
  const losses = turns.map(({ loss }) => loss);
  const [low, high] = [Math.min(...losses), Math.max(...losses)].map((loss) => loss.toPrecision(3));
  const leftOut = skipped - skippedBefore;
  const text = `the loss swings: it turned ${turns.length} times by a factor of ${FACTOR} or more in steps ${turns[0]!.window} to ${window}, between ${low} and ${high}`;
  const because =
    leftOut > 0
      ? `${leftOut} of the first ${window} steps were left out, under loss scales up to ${largestScale}`
      : `no step was left out under a loss scale of ${scale}; the learning rate is ${lr}`;
  const usual = `a first loss scale from 2^${SMALL_BITS} to 2^${USUAL_BITS} (init_scale=${2 ** SMALL_BITS} or ${2 ** USUAL_BITS}), or scaler=computed, which measures it`;
  const slower = 'lower lr0 or lengthen warmup_epochs';
  const scaling = computed ? [] : [usual];
  const remedies = leftOut > 0 ? [...scaling, slower] : [slower, ...scaling];
  return {
    ...{ code: 'LOSS_SWINGS', window, text, because },
    remedies: [...remedies, 'amp=bf16 needs no loss scale where the device has it'],
  };
}
