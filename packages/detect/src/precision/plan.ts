import {
  type PlanDType,
  type PrecisionPlan,
  planFromPatterns,
  readPlan,
  uniformPlan,
  withRules,
} from '@mezzo/precision';
import { MezzoError } from '@mezzo/torch';
import type { DeviceName } from '../engine/device.ts';
import { type AmpSetting, choosePrecision, type RunPrecision } from '../engine/precision.ts';

/** The options of a run that decide its precision, under their names in the option table. */
export interface PrecisionOptions {
  amp: AmpSetting | 'auto';
  /** Layer patterns that stay in fp32, separated by commas. */
  fp32: string | null;
  /** A file with a plan. */
  precision: string | null;
  channels_last: boolean | null;
}

export interface PlannedPrecision {
  /** The region around the model. */
  readonly precision: RunPrecision;
  readonly plan: PrecisionPlan;
  /** Whether layers that overflow again and again are moved: amp=auto. */
  readonly heals: boolean;
}

const AMP_NAMES = { float32: 'fp32', float16: 'fp16', bfloat16: 'bf16' } as const satisfies Record<
  PlanDType,
  AmpSetting
>;

/**
 * What `amp`, `fp32` and `precision` mean together. The base of a plan file is the region's dtype; patterns of
 * `fp32` come after its rules, so they win.
 * @throws PlanError BAD_PLAN for a file that is no plan; MezzoError BAD_OPTION where `amp` contradicts the file
 */
export async function planPrecision(
  options: PrecisionOptions,
  device: DeviceName,
): Promise<PlannedPrecision> {
  const { amp, fp32, precision: file, channels_last } = options;
  const heals = amp === 'auto';
  const given = file === null ? null : await readPlan(file);
  const setting = given === null ? (heals ? true : amp) : settingOf(given, file!, amp);
  const chosen = choosePrecision(setting, device, channels_last);
  const plan = given ?? uniformPlan(chosen.dtype);
  const scaler = chosen.scaler || plan.rules.some(({ dtype }) => dtype === 'float16');
  const source = given === null ? chosen.reason : `the base of precision=${file}`;
  return {
    precision: { ...chosen, scaler, reason: heals ? `amp=auto: ${source}` : source },
    plan: fp32 === null ? plan : withRules(plan, planFromPatterns(plan.base, fp32).rules),
    heals,
  };
}

function settingOf({ base }: PrecisionPlan, file: string, amp: AmpSetting | 'auto'): AmpSetting {
  const name = AMP_NAMES[base];
  const said = amp === false ? 'fp32' : amp;
  if (said === true || said === 'auto' || said === name) return name;
  throw new MezzoError(
    'BAD_OPTION',
    `precision=${file} is a plan for ${name}, but amp=${String(amp)} was given`,
    {
      hint: 'leave amp out: the base of the plan decides',
    },
  );
}
