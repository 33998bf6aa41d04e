import { MezzoError, type nn, type Tensor } from '@mezzo/torch';
import type { PlanDType } from '../islands/plan.ts';
import { clampsFor } from './clamps.ts';
import { moduleNamed, observedFault } from './fault.ts';
import type { Replayer, ReplayOutcome, ReplaySettings } from './replay.ts';
import type { CureReport, FaultReport } from './report.ts';
import {
  type ClampedOp,
  clampedOps,
  float32OpOutside,
  type Treatment,
  underPlan,
  withEps,
  withFiniteInputs,
} from './treatments.ts';
import { placeInWords, plainOp, short } from './words.ts';

/** A batch that fails, and what is known of it. */
export interface Patient {
  readonly model: nn.Module;
  readonly settings: ReplaySettings;
  readonly replayer: Replayer;
  readonly fault: FaultReport | null;
  readonly outcome: ReplayOutcome;
}

/** One thing to try. */
interface Trial extends Pick<CureReport, 'code' | 'text' | 'how' | 'value'> {
  readonly settings?: ReplaySettings;
  readonly treatment?: Treatment;
}

// Below this a scaler has little left to scale with, and small gradients are lost.
const SMALL_SCALE = 128;

/** The cure works with a loss scale that still does its work. */
export const leavesRoom = ({ works, scale = SMALL_SCALE }: CureReport): boolean =>
  works === true && scale >= SMALL_SCALE;

/**
 * Tries everything that may help with the fault, from cheap to dear, each as a replay of the batch; nothing else
 * where only the loss scale is to blame. Of several variants of one cure (a smaller floor, a larger eps) the first
 * that works is told.
 */
export function tryCures(patient: Patient): CureReport[] {
  const { lossFinite } = patient.outcome;
  const scaled = lossFinite && patient.settings.scale > 1 ? [lowerScale(patient)] : [];
  if (scaled.some(leavesRoom)) return scaled;
  const trials = [epsTrials, float32OpTrials, clampTrials, float32LayerTrials, bfloat16Trials, float32Trials];
  return [...scaled, ...trials.flatMap((of) => firstThatWorks(patient, of(patient)))];
}

/** Whether the bad numbers of the inputs are all that is wrong. */
export function tryFixedData(
  patient: Patient,
  names: readonly string[],
  tensors: readonly Tensor[],
): CureReport {
  const text = `fix or remove the bad numbers of ${names.join(', ')}`;
  return attempt(patient, { code: 'fix-data', text, how: null, treatment: withFiniteInputs(tensors) });
}

function firstThatWorks(patient: Patient, trials: Iterable<Trial>): CureReport[] {
  let last: CureReport | undefined;
  for (const trial of trials) {
    last = attempt(patient, trial);
    if (last.works) break;
  }
  return last === undefined ? [] : [last];
}

/** A cure counts when loss and gradients are finite, if need be once the scaler has backed off. */
function attempt(patient: Patient, { settings = patient.settings, treatment, ...trial }: Trial): CureReport {
  const replay = (scale: number) => patient.replayer.replay({ ...settings, scale }, treatment).outcome;
  try {
    const outcome = replay(settings.scale);
    if (!outcome.inRegion) {
      return {
        ...trial,
        works: null,
        note: 'not tried: run does not use the autocast region that it is given',
      };
    }
    const scalable = outcome.lossFinite && settings.scale > 1;
    if (outcome.finite || !scalable) return { ...trial, works: outcome.finite };
    if (!replay(1).finite) return { ...trial, works: false };
    const scale = largestScale(settings.scale, (each) => replay(each).finite);
    return { ...trial, works: true, scale, note: `with a loss scale of ${short(scale)} or less` };
  } catch (error) {
    // A cure that the model cannot run with does not work; why is part of the report. Defects are not caught.
    if (!(error instanceof MezzoError)) throw error;
    return { ...trial, works: false, note: error.message };
  }
}

/** The largest of scale/2, scale/4, … 1 that is finite, given that 1 is. */
function largestScale(scale: number, finite: (scale: number) => boolean): number {
  let [works, fails] = [Math.ceil(Math.log2(scale)), 0];
  while (works - fails > 1) {
    const middle = (works + fails) >> 1;
    if (finite(scale / 2 ** middle)) works = middle;
    else fails = middle;
  }
  return Math.max(scale / 2 ** works, 1);
}

function lowerScale({ replayer, settings }: Patient): CureReport {
  const finite = (scale: number) => replayer.replay({ ...settings, scale }).outcome.finite;
  const trial = { code: 'lower-scale', text: `lower the loss scale from ${short(settings.scale)}` } as const;
  if (!finite(1)) return { ...trial, how: null, works: false };
  const scale = largestScale(settings.scale, finite);
  const text = `${trial.text} to ${short(scale)}, as the scaler does by itself`;
  const note = scale < SMALL_SCALE ? 'so small a scale loses small gradients' : undefined;
  return { ...trial, text, how: `init_scale=${scale}`, works: true, scale, ...(note ? { note } : {}) };
}

const EPS = [1e-5, 1e-3];

function epsTrials({ model, fault }: Patient): Trial[] {
  const layer = moduleNamed(model, fault?.layer ?? null) as { eps?: unknown } | undefined;
  if (typeof layer?.eps !== 'number') return [];
  const own = layer.eps;
  return EPS.filter((eps) => eps > own).map((eps) => ({
    code: 'eps',
    text: `raise eps ${placeInWords(fault!)} from ${short(own)} to ${short(eps)}`,
    how: `eps: ${short(eps)}`,
    value: eps,
    treatment: withEps(layer as { eps: number }, eps),
  }));
}

const inPlace = (op: string) => op.endsWith('_');

function float32OpTrials({ model, fault, settings }: Patient): Trial[] {
  const { enabled, dtype } = settings.region;
  if (fault === null || !enabled || inPlace(fault.op)) return [];
  if (fault.dtype === 'float32' && fault.inputs.every((input) => input.dtype === 'float32')) return [];
  const trial = {
    code: 'fp32-op',
    text: `run ${plainOp(fault.op)} ${placeInWords(fault)} in float32`,
  } as const;
  if (fault.module === null) {
    return [{ ...trial, how: 'x.float()', treatment: float32OpOutside(model, fault.op, settings.region) }];
  }
  const rule = {
    layers: fault.layer || '*',
    ops: [fault.op],
    dtype: 'float32' as const,
    reason: `${plainOp(fault.op)} overflowed`,
  };
  const how = `precision=PLAN.json with the rule ${JSON.stringify(rule)}`;
  return [{ ...trial, how, treatment: underPlan(model, dtype as PlanDType, rule) }];
}

const MOST_CLAMPS = 3;

/** The clamps of the faulty operation; when none is enough, together with those of the operation that fails then. */
function* clampTrials({ model, fault, replayer, settings }: Patient): Generator<Trial> {
  let kept: { op: ClampedOp; text: string }[] = [];
  const clamped = (all: typeof kept) =>
    clampedOps(
      model,
      all.map(({ op }) => op),
    );
  let next = fault;
  while (next !== null && !inPlace(next.op) && kept.length < MOST_CLAMPS) {
    const { layer, op, dtype, module } = next;
    const place = { layer: module === null ? null : layer, op };
    if (kept.some((each) => each.op.op === op && each.op.layer === place.layer)) return;
    const clamps = clampsFor(op, dtype).map((clamp) => ({
      op: { ...place, clamp },
      text: `${clamp.text(plainOp(op))} ${placeInWords(next!)}`,
    }));
    for (const clamp of clamps) {
      const all = [...kept, clamp];
      yield {
        code: 'clamp',
        text: all.map(({ text }) => text).join(', and '),
        how: all.map((each) => each.op.clamp.code).join(', '),
        value: clamp.op.clamp.bound,
        treatment: clamped(all),
      };
    }
    kept = [...kept, clamps.at(-1)!];
    const treatment = clamped(kept);
    next = replayer.replay({ ...settings, scale: 1 }, (batch) =>
      observedFault(model, batch, { treatment }),
    ).result;
  }
}

/** The layer, else the one it is part of: what stays large after the operation needs room as well. */
function float32LayerTrials({ model, fault, settings }: Patient): Trial[] {
  const { enabled, dtype } = settings.region;
  if (!enabled || !fault?.layer || fault.module === null) return [];
  const parent = fault.layer.slice(0, Math.max(0, fault.layer.lastIndexOf('.')));
  return [fault.layer, parent]
    .filter((layer) => layer !== '')
    .map((layer) => ({
      code: 'fp32-layer',
      text: `keep layer '${layer}' in float32`,
      how: `fp32='${layer}'`,
      treatment: underPlan(model, dtype as PlanDType, {
        layers: layer,
        dtype: 'float32',
        reason: `${plainOp(fault.op)} overflowed`,
      }),
    }));
}

function bfloat16Trials({ settings }: Patient): Trial[] {
  const { region } = settings;
  if (!region.enabled || region.dtype !== 'float16') return [];
  return [
    {
      code: 'bf16',
      text: 'train in bfloat16, which has the range of float32',
      how: 'amp=bf16',
      settings: { region: { ...region, dtype: 'bfloat16' }, scale: 1 },
    },
  ];
}

function float32Trials({ settings: { region } }: Patient): Trial[] {
  if (!region.enabled) return [];
  return [
    {
      code: 'fp32',
      text: 'train in float32',
      how: 'amp=false',
      settings: { region: { ...region, enabled: false, dtype: 'float32' }, scale: 1 },
    },
  ];
}
