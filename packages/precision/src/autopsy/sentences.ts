import { limitsOf } from './limits.ts';
import type { AutopsyReport, FaultReport, FindingCode, InputReport, StateReport } from './report.ts';
import { placeInWords, plainOp, short } from './words.ts';

type Facts = Pick<AutopsyReport, 'fault' | 'inputs' | 'state' | 'replay' | 'precision'> & {
  weights: { readonly grown: number; readonly of: number };
};

/** The finding in plain words. */
export const sentence = (finding: FindingCode, facts: Facts): string => SENTENCES[finding](facts);

const SENTENCES: Readonly<Record<FindingCode, (facts: Facts) => string>> = {
  finite: ({ precision }) =>
    `Loss, gradients and buffers of this batch are finite in ${precision.dtype} with a loss scale of ` +
    `${short(precision.scale)}. What overflowed was something else: another batch of the accumulation window, or ` +
    'other weights.',
  'input-not-finite': ({ inputs, fault }) =>
    `The batch is not finite: ${inputs.map(badInput).join('; ')}.${reader(fault)}`,
  'state-not-finite': ({ state, fault }) => {
    const bad = state.filter(({ largest }) => largest === null);
    return `The model is not finite before this batch: ${listed(bad.map(stateName))}.${reader(fault)}`;
  },
  'weights-diverged': ({ weights, fault }) =>
    `Training ran away before this batch: ${weights.grown} of ${weights.of} weights are far larger than any ` +
    `initialisation.${fault === null ? '' : ` ${operation(fault)}.`}`,
  'weight-beyond-range': ({ state, fault, precision }) => {
    const bad = state.filter(({ largest }) => largest !== null);
    const { largest } = limitsOf(precision.dtype);
    return (
      `${listed(bad.map(({ name, largest: size }) => `${name} reaches ${short(size!)}`))}, but ${precision.dtype} ` +
      `ends at ${short(largest)}: the copy that ${plainOp(fault!.op)} ${placeInWords(fault!)} reads is infinite.`
    );
  },
  'scale-too-large': ({ fault, replay, precision }) =>
    `${fault === null ? `${gradientsOf(replay)} overflowed` : operation(fault)}, but only because the loss is scaled ` +
    `by ${short(precision.scale)}. This is how a scaler finds its scale; it lowers it by itself.`,
  'beyond-range': ({ fault }) =>
    `${operation(fault!)}${chosen(fault!)}. In float32 this batch is finite: ${limit(fault!)}.`,
  'undefined-value': ({ fault }) =>
    `${operation(fault!)}. It is not finite in float32 either: more range does not help, the arithmetic must avoid it.`,
  'not-located': ({ replay }) =>
    `${replay.lossFinite ? gradientsOf(replay) : 'The loss'} is not finite, and no single operation made it so from finite numbers.`,
};

/** 'exp in layer 'head' made inf or NaN of finite numbers (largest input 12)'. */
function operation(fault: FaultReport): string {
  const { op, phase, inputs } = fault;
  const largest = inputs.flatMap((input) => (input.largest === null ? [] : [input.largest]));
  const size = largest.length === 0 ? '' : ` (largest ${short(Math.max(...largest))})`;
  const what =
    phase === 'forward'
      ? `${plainOp(op)} ${placeInWords(fault)}`
      : `The gradient of ${plainOp(op)} ${placeInWords(fault)}`;
  return `${what} turned finite numbers${size} into infinity or NaN`;
}

const WHY: Readonly<Record<string, string>> = {
  'low list': 'autocast runs it in the low precision',
  'fp32 list': 'autocast runs it in float32',
  promotion: 'autocast casts its inputs to the widest of them',
  inputs: 'its inputs are',
  island: 'autocast is off there',
  cast: 'the program casts to it',
  backward: 'its forward ran in that dtype',
  plan: 'the precision plan says so',
};

const chosen = ({ rule, dtype }: FaultReport) =>
  WHY[rule] === undefined ? '' : `, in ${dtype} because ${WHY[rule]}`;

/** Operations that are infinite at 0. */
const SINGULAR: ReadonlySet<string> = new Set(['div', 'log', 'log10', 'log2', 'reciprocal', 'rsqrt', 'sqrt']);

function limit({ op, dtype }: FaultReport): string {
  const { largest, smallest } = limitsOf(dtype);
  const above = `${dtype} ends at ${short(largest)}`;
  return SINGULAR.has(plainOp(op)) ? `${above}, and what is below ${short(smallest)} becomes 0 in it` : above;
}

/** The rule that chose a dtype, as a clause. */
export const ruleInWords = (rule: string): string =>
  WHY[rule] === undefined ? `rule: ${rule}` : `because ${WHY[rule]} (rule: ${rule})`;

const reader = (fault: FaultReport | null) =>
  fault === null ? '' : ` The first to read that is ${plainOp(fault.op)} ${placeInWords(fault)}.`;

function badInput({ name, count, place, value }: InputReport): string {
  const first = `${name} holds ${value} at ${place}`;
  return count === 1 ? first : `${first}, and ${count - 1} more`;
}

const stateName = ({ name, kind }: StateReport) => `${kind} ${name}`;

function gradientsOf({ gradients, buffers }: AutopsyReport['replay']): string {
  const what = [
    gradients.length > 0 ? `the gradient of ${listed(gradients)}` : '',
    buffers.length > 0 ? `buffer ${listed(buffers)}` : '',
  ];
  const text = what.filter((each) => each !== '').join(' and ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const MOST = 3;

function listed(names: readonly string[]): string {
  const more = names.length - MOST;
  return more > 0 ? `${names.slice(0, MOST).join(', ')} and ${more} more` : names.join(', ');
}
