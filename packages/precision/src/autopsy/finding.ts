import { leavesRoom } from './cures.ts';
import type { CureReport, FaultReport, FindingCode, InputReport, StateReport } from './report.ts';

/** What a finding is drawn from. */
export interface Evidence {
  readonly finite: boolean;
  readonly fault: FaultReport | null;
  readonly inputs: readonly InputReport[];
  readonly state: readonly StateReport[];
  readonly weights: { readonly grown: number; readonly of: number };
  readonly cures: readonly CureReport[];
}

/** The finding: the first of these that holds, from what is certain to what remains. */
const FINDINGS: readonly (readonly [FindingCode, (evidence: Evidence) => boolean])[] = [
  ['finite', ({ finite }) => finite],
  ['input-not-finite', ({ inputs }) => inputs.length > 0],
  ['state-not-finite', ({ state }) => state.some(({ largest }) => largest === null)],
  ['weights-diverged', ({ weights: { grown, of } }) => grown * 2 > of],
  [
    'weight-beyond-range',
    ({ state, fault }) => castsWeight(fault) && state.some(({ name }) => ownerOf(name) === fault?.layer),
  ],
  ['scale-too-large', ({ cures }) => cures.some((cure) => cure.code === 'lower-scale' && leavesRoom(cure))],
  ['not-located', ({ fault }) => fault === null],
  ['undefined-value', ({ cures }) => !cures.some(({ code, works }) => code === 'fp32' && works !== false)],
  ['beyond-range', () => true],
];

export const findingOf = (evidence: Evidence): FindingCode =>
  FINDINGS.find(([, holds]) => holds(evidence))![0];

/** The infinity came of a cast: what float32 held, the low precision does not. */
const castsWeight = (fault: FaultReport | null) =>
  fault?.phase === 'forward' && ['aten::_to_copy', 'aten::to'].includes(fault.inner ?? '');

const ownerOf = (parameter: string) => parameter.slice(0, Math.max(0, parameter.lastIndexOf('.')));

/** Where a change to the arithmetic would hide the cause, the cure is this; it is not something to replay. */
export const adviceFor = (finding: FindingCode, learningRate: number | undefined): CureReport[] =>
  (ADVICE[finding] ?? []).map((code) => ADVICES[code](learningRate));

/** When nothing that was tried works. */
export const lastAdvice = (): CureReport => ADVICES['check-formula'](undefined);

type AdviceCode = 'none-needed' | 'restore-weights' | 'lower-learning-rate' | 'check-formula';

const ADVICE: Partial<Record<FindingCode, readonly AdviceCode[]>> = {
  finite: ['none-needed'],
  'state-not-finite': ['restore-weights', 'lower-learning-rate'],
  'weights-diverged': ['lower-learning-rate', 'restore-weights'],
};

const untried = { works: null, how: null } as const;

// Rates that run away are usually too large by one order of magnitude, with a second one to be safe.
const LOWER = 100;

const ADVICES: Readonly<Record<AdviceCode, (learningRate: number | undefined) => CureReport>> = {
  'none-needed': () => ({
    ...untried,
    code: 'none-needed',
    text: 'go on: the replay of this batch is finite',
  }),
  'restore-weights': () => ({
    ...untried,
    code: 'restore-weights',
    text: 'go back to the last good checkpoint: these weights are lost',
    how: 'resume=true',
  }),
  'lower-learning-rate': (rate) => ({
    ...untried,
    code: 'lower-learning-rate',
    text:
      rate === undefined
        ? 'lower the learning rate to a hundredth, or clip the gradients'
        : `lower the learning rate from ${rate} to ${rate / LOWER}, or clip the gradients`,
    how: rate === undefined ? 'lr0=…' : `lr0=${rate / LOWER}`,
    ...(rate === undefined ? {} : { learningRate: rate / LOWER }),
    note: 'concerns the steps before this batch, so a replay cannot show it',
  }),
  'check-formula': () => ({
    ...untried,
    code: 'check-formula',
    text: 'guard the formula: no precision and no clamp that was tried makes this finite',
  }),
};

/** The cure to take: advice where there is some, else the cheapest that works and leaves the scaler room. */
export function chooseCure(advice: readonly CureReport[], cures: readonly CureReport[]): CureReport | null {
  const working = cures.filter(({ works }) => works === true);
  const roomy = working.find(leavesRoom);
  return advice[0] ?? roomy ?? working[0] ?? null;
}
