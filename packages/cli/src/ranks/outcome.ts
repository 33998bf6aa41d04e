import { hostname } from 'node:os';
import type { StepEvent } from '@mezzo/detect';
import { MezzoError } from '@mezzo/libtorch/errors';
import type { RankFailure } from './message.ts';

/** How the process of a rank ended. */
export interface RankEnd {
  readonly rank: number;
  readonly pid: number;
  /** It came to the end of the training. */
  readonly done: boolean;
  /** By the supervisor, when another had failed. */
  readonly killed: boolean;
  /** The last step that it told of. */
  readonly step: Pick<StepEvent, 'epoch' | 'epochs' | 'step' | 'steps'> | null;
  readonly failure?: RankFailure;
  readonly exitCode?: number | null;
  readonly signalCode?: string | null;
}

interface Told {
  readonly rank: number;
  readonly failure: RankFailure;
}

/** Codes that come of another rank's end, from what says most of the cause to what says least. */
const CONSEQUENCES = ['INTERRUPTED', 'DISTRIBUTED_TIMEOUT', 'DISTRIBUTED', 'DISTRIBUTED_PEER_LOST'];

/**
 * The one error that says why a job failed; null when it did not. A cause comes before what followed from it: a rank's
 * own error, then a rank that ended without a word, then what the others say of it.
 */
export function failureOf(ends: readonly RankEnd[]): MezzoError | Error | null {
  const told = ends.flatMap(({ rank, failure }): Told[] =>
    failure === undefined ? [] : [{ rank, failure }],
  );
  const own = told.find(({ failure }) => !CONSEQUENCES.includes(failure.code));
  if (own !== undefined) return errorOf(own, told, ends.length);
  const followed = CONSEQUENCES.flatMap((code) => told.filter(({ failure }) => failure.code === code));
  const lost = ends.find((end) => !end.done && !end.killed && end.failure === undefined);
  if (lost !== undefined) return lostRank(lost, followed[0]?.failure);
  return followed[0] === undefined ? null : errorOf(followed[0], told, ends.length);
}

/** What all ranks say alike, or says already which it was, needs no number. */
function errorOf({ rank, failure }: Told, told: readonly Told[], size: number): MezzoError | Error {
  const { code, message, hint, stack } = failure;
  if (code === 'INTERNAL') {
    const defect = new Error(message);
    if (stack !== undefined) defect.stack = stack;
    return defect;
  }
  const alike = told.length === size && told.every((other) => other.failure.message === message);
  const named = alike || CONSEQUENCES.includes(code);
  return new MezzoError(
    code,
    named ? message : `rank ${rank}: ${message}`,
    hint === undefined ? {} : { hint },
  );
}

/** @param witness what a rank that was left says: it knows the collectives */
function lostRank({ rank, pid, step, exitCode, signalCode }: RankEnd, witness?: RankFailure): MezzoError {
  const how = signalCode ? `was killed by ${signalCode}` : `ended with exit code ${exitCode}`;
  const where =
    step === null
      ? 'before its first step'
      : `in epoch ${step.epoch} of ${step.epochs}, after step ${step.step} of ${step.steps}`;
  const lines = [
    `rank ${rank} (process ${pid} on ${hostname()}) ${how} ${where}`,
    ...(witness === undefined ? [] : [`  ${witness.message.replaceAll('\n', '\n  ')}`]),
  ];
  const hint =
    signalCode === 'SIGKILL'
      ? 'the system kills processes when memory runs out (dmesg tells): each rank takes its own'
      : undefined;
  return new MezzoError('RANK_LOST', lines.join('\n'), hint === undefined ? {} : { hint });
}
