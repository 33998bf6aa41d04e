import type { PlanRule } from '../islands/index.ts';

/** Where a finding belongs, and so who can do something about it. */
export type FindingClass = 'environment' | 'hardware' | 'memory' | 'consistency' | 'numerics';

/** `error`: the check failed · `island`: cured by the finding's island · `warning`, `note`: for information. */
export type Severity = 'error' | 'island' | 'warning' | 'note';

interface Kind {
  readonly class: FindingClass;
  readonly severity: Severity;
  /** What an error of this kind means: AMP could not be judged, or was judged and failed. */
  readonly verdict: 'unavailable' | 'unsound';
  /** What to do unless the finding itself knows better. */
  readonly remedy: string;
}

const kind = (of: FindingClass, severity: Severity, verdict: Kind['verdict'], remedy: string): Kind => ({
  class: of,
  severity,
  verdict,
  remedy,
});

/** Everything that a preflight can find. The codes are stable, for programs. */
export const FINDING_KINDS = {
  NO_GPU: kind(
    'environment',
    'error',
    'unavailable',
    'mezzo doctor says what was found and why; device=cpu checks the CPU',
  ),
  SMOKE_TEST_FAILS: kind(
    'environment',
    'error',
    'unavailable',
    'mezzo doctor checks LibTorch, driver and libraries; the model is not at fault',
  ),
  NOTHING_TO_CHECK: kind(
    'environment',
    'error',
    'unavailable',
    'name a precision to check: amp=bf16 or amp=fp16',
  ),
  NO_LOW_PRECISION: kind('hardware', 'error', 'unavailable', 'use amp=fp16, or amp=false'),
  SMOKE_TEST_WRONG: kind(
    'hardware',
    'error',
    'unsound',
    'train with amp=false, and try another driver or LibTorch; the model is not at fault',
  ),
  CONVOLUTION_WRONG: kind(
    'hardware',
    'error',
    'unsound',
    'keep these layers in float32 (fp32=), try channels_last=false or another driver, or train with amp=false',
  ),
  BATCH_DOES_NOT_FIT: kind('memory', 'error', 'unavailable', 'lower batch or imgsz, or take a smaller model'),
  REFERENCE_AT_SMALLER_BATCH: kind(
    'memory',
    'note',
    'unavailable',
    'none needed: float32 is only the yardstick, the run itself fits',
  ),
  CHANNELS_DISAGREE: kind(
    'consistency',
    'error',
    'unavailable',
    "give data of the model's channels (channels: in the data.yaml), or a model built for the data's (ch: in its yaml)",
  ),
  MODEL_FAILS: kind(
    'consistency',
    'error',
    'unavailable',
    'make the model run in float32 on this data first: the error is not one of precision',
  ),
  LOSS_NOT_SCALAR: kind('consistency', 'error', 'unavailable', 'reduce the loss to one number: loss.mean()'),
  FP32_NOT_FINITE: kind(
    'consistency',
    'error',
    'unavailable',
    'mend the weights or the data first: they are broken in float32 as well',
  ),
  NO_GRADIENT: kind(
    'consistency',
    'error',
    'unavailable',
    'nothing would be learned: look for a detached loss, frozen layers, or a batch without targets',
  ),
  CONSTANT_OUTPUT: kind(
    'consistency',
    'error',
    'unavailable',
    'the output does not depend on the input: initialise the model, or look for weights that are all zero',
  ),
  LAYERS_WITHOUT_GRADIENT: kind(
    'consistency',
    'note',
    'unavailable',
    'none, if this batch simply has nothing for them; freeze layers that are never to learn',
  ),
  NOTHING_ASSIGNED: kind(
    'consistency',
    'error',
    'unavailable',
    'give a batch with boxes: without one the box loss is not exercised',
  ),
  DIRECTION_NOT_COMPARED: kind(
    'consistency',
    'note',
    'unavailable',
    'larger pictures or more of them: BatchNorm over a few values turns on the last bit',
  ),
  SYNTHETIC_DATA: kind('consistency', 'note', 'unavailable', 'give data= to check with a batch of your own'),
  LOSS_NOT_FINITE: kind(
    'numerics',
    'error',
    'unsound',
    'amp=bf16 has the range of float32; amp=false always works',
  ),
  GRADIENT_NOT_FINITE: kind(
    'numerics',
    'error',
    'unsound',
    'amp=bf16 has the range of float32; amp=false always works',
  ),
  LOSS_GAP: kind('numerics', 'error', 'unsound', 'keep the loss in float32, or train with amp=false'),
  GRADIENT_DIRECTION: kind(
    'numerics',
    'error',
    'unsound',
    'keep these layers in float32 (fp32=), or train with amp=false',
  ),
  GRADIENT_VANISHES: kind(
    'numerics',
    'error',
    'unsound',
    'amp=bf16 has the range of float32; or keep these layers in float32 (fp32=)',
  ),
  FORMAT_TOO_COARSE: kind(
    'numerics',
    'error',
    'unsound',
    'use amp=fp16, which has 3 more bits of precision than bf16, or amp=false',
  ),
  OUTPUT_DIFFERS: kind(
    'numerics',
    'error',
    'unsound',
    'keep the layers that make this output in float32 (fp32=), or train with amp=false',
  ),
  OP_MISSING: kind('numerics', 'error', 'unsound', 'keep this layer in float32 (fp32=)'),
  UNSAFE_OP: kind('numerics', 'error', 'unsound', 'run it in float32'),
  UNSAFE_LAYER: kind('numerics', 'error', 'unsound', 'run the layer in float32'),
  RISKY_OP: kind('numerics', 'note', 'unsound', 'if training overflows there, run it in float32'),
} as const satisfies Record<string, Kind>;

export type FindingCode = keyof typeof FINDING_KINDS;

/** One thing that a preflight found. */
export interface Finding {
  readonly class: FindingClass;
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly message: string;
  /** What to do next, as a sentence fragment. */
  readonly remedy: string;
  /** The numbers and names behind the message. */
  readonly evidence: Readonly<Record<string, unknown>>;
  /** The rule of a precision plan that cures it. */
  readonly island?: PlanRule;
}

export interface FindingDetails {
  readonly severity?: Severity;
  readonly remedy?: string;
  readonly evidence?: Readonly<Record<string, unknown>>;
  readonly island?: PlanRule;
}

/** A finding of a kind; class, severity and remedy are the kind's unless given. */
export function finding(code: FindingCode, message: string, details: FindingDetails = {}): Finding {
  const { class: of, severity, remedy } = FINDING_KINDS[code];
  const { island } = details;
  return {
    class: of,
    code,
    severity: details.severity ?? severity,
    message,
    remedy: details.remedy ?? remedy,
    evidence: details.evidence ?? {},
    ...(island === undefined ? {} : { island }),
  };
}
