import type { PlanChange, PlanDType, PlanRule } from './plan.ts';

/** When a layer is moved, and when it is tried again. Windows are accumulation windows: tries of a step. */
export interface HealingOptions {
  /** Overflows that count within `within` windows, after which a layer is moved. */
  strikes: number;
  within: number;
  /**
   * An overflow in backward is the layer's fault only at this loss scale or below; above, a lower scale is the
   * cure. 16 leaves gradients of up to 4096.
   */
  blameScale: number;
  /** Applied windows in an island after which the layer is tried in its planned dtype again. */
  retryAfter: number;
  /** What a failed trial multiplies the wait by, up to `longestWait`. */
  backoff: number;
  longestWait: number;
  /** Where an fp16 layer goes: bfloat16 has float32's range, and is native on CUDA 8.0 and some CPUs. */
  island: 'float32' | 'bfloat16';
}

export const HEALING_DEFAULTS: HealingOptions = {
  strikes: 2,
  within: 100,
  blameScale: 16,
  retryAfter: 500,
  backoff: 2,
  longestWait: 16_000,
  island: 'float32',
};

/** Where numbers first stopped being finite. */
export interface Overflow {
  /** Innermost module, null when it was in no module: in the loss, or in the data. */
  readonly layer: string | null;
  /** Forward does not depend on the loss scale, backward does. */
  readonly phase: 'forward' | 'backward';
  /** How it is known: operation, dtypes, magnitudes. Plain data. */
  readonly evidence: Readonly<Record<string, unknown>>;
}

/** What one window came to. */
export interface WindowReport {
  readonly applied: boolean;
  /** Loss scale of the window, null without a scaler. */
  readonly scale: number | null;
  /** What made it overflow, where that is known. */
  readonly overflow: Overflow | null;
}

/** What is remembered of a layer that overflowed. */
export interface LayerHealth {
  /** Windows of the overflows that count. */
  readonly strikes: readonly number[];
  /** Where healing put it; null: it runs as planned. */
  readonly dtype: PlanDType | null;
  readonly reason: string;
  /** Applied windows since it was moved. */
  readonly clean: number;
  /** Applied windows after which it is tried again, or has passed its trial. */
  readonly wait: number;
  /** Back in its planned dtype after an island: one overflow ends the trial. */
  readonly trial: boolean;
  /** It overflowed in float32 as well, which was said. */
  readonly hopeless: boolean;
}

/** Plain data, for checkpoints. */
export interface HealingState {
  /** Windows so far. */
  readonly window: number;
  /** In this run of skips a replay has found what a lower scale cures. */
  readonly curable: boolean;
  readonly layers: Readonly<Record<string, LayerHealth>>;
}

export const HEALTHY: HealingState = { window: 0, curable: false, layers: {} };

const NEW: Omit<LayerHealth, 'wait'> = {
  strikes: [],
  dtype: null,
  reason: '',
  clean: 0,
  trial: false,
  hopeless: false,
};

/** Whether finding the layer is worth a replay: not while a lower scale is known to be the cure. */
export function wantsEvidence(
  state: HealingState,
  scale: number | null,
  { blameScale }: HealingOptions,
): boolean {
  return !state.curable || (scale ?? 1) <= blameScale;
}

/** The rules that healing has added, oldest first. They come after those of the plan. */
export function healingRules({ layers }: HealingState): PlanRule[] {
  return Object.entries(layers).flatMap(([layer, { dtype, reason }]) =>
    dtype === null ? [] : [{ layers: layer === '' ? '*' : layer, dtype, reason: `healing: ${reason}` }],
  );
}

/** The dtypes of layers by name. */
export interface LayerDtypes {
  /** Without healing. */
  planned(layer: string): PlanDType;
  /** As it ran in the window: its own, or that of an island it is part of. */
  inForce(layer: string): PlanDType;
}

/** The state after a window and what changed in it; the argument is not touched. */
export function advanceHealing(
  state: HealingState,
  report: WindowReport,
  dtypes: LayerDtypes,
  options: HealingOptions = HEALING_DEFAULTS,
): { state: HealingState; changes: PlanChange[] } {
  const next = { ...state, window: state.window + 1 };
  if (report.applied) return applied({ ...next, curable: false }, dtypes, options);
  return skipped(next, report, dtypes, options);
}

function applied(
  state: HealingState,
  dtypes: LayerDtypes,
  options: HealingOptions,
): { state: HealingState; changes: PlanChange[] } {
  const layers: Record<string, LayerHealth> = {};
  for (const [layer, health] of Object.entries(state.layers)) {
    const clean = health.clean + 1;
    const strikes = recent(health.strikes, state.window, options);
    const passed = health.trial && clean >= options.retryAfter;
    const forgotten = health.dtype === null && !health.trial && strikes.length === 0 && !health.hopeless;
    if (!passed && !forgotten) layers[layer] = { ...health, clean, strikes };
  }
  // One at a time, so that the next overflow tells which layer was not ready.
  const busy = Object.values(layers).some(({ trial, clean }) => trial && clean < options.within);
  const due = busy
    ? undefined
    : Object.entries(layers).find(([, { dtype, clean, wait }]) => dtype !== null && clean >= wait);
  if (due === undefined) return { state: { ...state, layers }, changes: [] };
  const [layer, health] = due;
  layers[layer] = { ...health, dtype: null, trial: true, clean: 0, strikes: [] };
  const change: PlanChange = {
    window: state.window,
    layer,
    from: health.dtype!,
    to: dtypes.planned(layer),
    reason: `tried again after ${health.clean} windows without overflow`,
    evidence: { cleanWindows: health.clean },
  };
  return { state: { ...state, layers }, changes: [change] };
}

function skipped(
  state: HealingState,
  { scale, overflow }: WindowReport,
  dtypes: LayerDtypes,
  options: HealingOptions,
): { state: HealingState; changes: PlanChange[] } {
  if (overflow === null || overflow.layer === null) return { state, changes: [] };
  if (overflow.phase === 'backward' && (scale ?? 1) > options.blameScale) {
    return { state: { ...state, curable: true }, changes: [] };
  }
  const { layer } = overflow;
  const health = state.layers[layer] ?? { ...NEW, wait: options.retryAfter };
  const strikes = [...recent(health.strikes, state.window, options), state.window];
  const needed = health.trial ? 1 : options.strikes;
  const keep = (now: LayerHealth, changes: PlanChange[]) => ({
    state: { ...state, layers: { ...state.layers, [layer]: now } },
    changes,
  });
  if (strikes.length < needed || health.hopeless) return keep({ ...health, strikes }, []);
  const from = dtypes.inForce(layer);
  const to = wider(from, options.island);
  const reason = reasonOf(to, health.trial, strikes, options);
  const change: PlanChange = {
    window: state.window,
    layer,
    from,
    to: to ?? from,
    reason,
    evidence: { phase: overflow.phase, scale, windows: strikes, ...overflow.evidence },
  };
  if (to === null) return keep({ ...health, strikes: [], hopeless: true }, [change]);
  const wait = health.trial ? Math.min(health.wait * options.backoff, options.longestWait) : health.wait;
  return keep({ ...health, strikes: [], dtype: to, reason, clean: 0, wait, trial: false }, [change]);
}

const recent = (strikes: readonly number[], window: number, { within }: HealingOptions) =>
  strikes.filter((strike) => strike > window - within);

/** The next dtype with more range or precision; null: there is none. */
function wider(from: PlanDType, island: HealingOptions['island']): PlanDType | null {
  if (from === 'float32') return null;
  return from === 'float16' ? island : 'float32';
}

function reasonOf(
  to: PlanDType | null,
  trial: boolean,
  strikes: readonly number[],
  { within }: HealingOptions,
): string {
  if (to === null) return 'overflows in float32 as well: the cause is not the precision';
  if (trial) return 'overflowed again when it was tried in low precision';
  return `overflowed ${strikes.length} times within ${within} windows, and a lower loss scale did not help`;
}
