import path from 'node:path';
import { cuda } from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import { deviceType, selectDevice } from './device.ts';
import type { RecoveryEvent } from './event.ts';
import { notFinite } from './finite-state.ts';
import { giveBack } from './memory-limit.ts';
import { NonFiniteError } from './non-finite.ts';
import {
  isOutOfMemory,
  memoryOf,
  OutOfMemoryError,
  ranOutOnHost,
  reduce,
  remediesFor,
} from './out-of-memory.ts';
import { type Resume, readResume } from './resume.ts';
import { scheduleOfRollback } from './rollback.ts';
import type { Run } from './run.ts';

/** So often the batch is halved, and so often a run goes back to its last good checkpoint. */
export const MOST_HALVINGS = 3;
export const MOST_ROLLBACKS = 3;

/** How a run is begun, or begun again after a failure. */
export interface Attempt {
  readonly settings: TrainSettings;
  /** Where it goes on from; left out at its beginning. */
  readonly resume?: Resume;
  /** The folder of the attempts before. */
  readonly saveDir: string | null;
  readonly halvings: number;
  readonly rollbacks: number;
  /** This attempt is to go another way than the one that led to the failure. */
  readonly astray: boolean;
  /** What happened since the state it goes on from: not in the run's log yet. */
  readonly recovered: readonly RecoveryEvent[];
}

/** How far an attempt came. */
export interface Failure {
  readonly attempt: Attempt;
  readonly error: unknown;
  /** Left out when it failed before the run was ready. */
  readonly run?: Run;
  /** In progress, from 0. */
  readonly epoch: number;
  readonly epochs: number;
  /** The checkpoint it wrote last; null when it wrote none. */
  readonly saved: string | null;
}

/** Several processes would have to begin anew together. */
const SEVERAL =
  'processes that train together do not go back by themselves: resume= goes on from the last checkpoint';

/**
 * What to do after a failure. Out of memory in the first epoch: the same run from its beginning with less; out of
 * memory later: an error with the way on. Weights or losses that stay non-finite: back to the last good checkpoint,
 * on another way. Anything else, and with several ranks: an error.
 * @throws OutOfMemoryError, NonFiniteError, or what was thrown
 */
export async function recover(failure: Failure, ranks: number): Promise<Attempt> {
  const { error } = failure;
  if (isOutOfMemory(error)) return withLessMemory(failure, error, ranks);
  if (error instanceof NonFiniteError && ranks > 1) throw error.afterAll([], SEVERAL);
  if (error instanceof NonFiniteError) return fromLastGood(failure, error);
  throw error;
}

// --- memory -----------------------------------------------------------------------------------------------

function withLessMemory(failure: Failure, error: Error, ranks: number): Attempt {
  const { attempt, run, epoch } = failure;
  const settings = run?.settings ?? attempt.settings;
  const device = run?.device ?? selectDevice(settings.device);
  const inFirst = attempt.resume === undefined && epoch === 0;
  const { halvings } = attempt;
  const onHost = ranOutOnHost(error, device);
  const less =
    inFirst && ranks === 1 ? reduce(settings, { onHost, mayHalve: halvings < MOST_HALVINGS }) : null;
  if (less === null) throw outOfMemory(failure, error, settings, device);
  if (run !== undefined) free(run);
  const event: RecoveryEvent = {
    event: 'recovery',
    cause: 'memory',
    epoch: epoch + 1,
    from: 1,
    attempt: halvings + (less.halved ? 1 : 0),
    attempts: MOST_HALVINGS,
    changes: less.changes,
    culprits: [],
    files: [],
    report: `Out of memory in the first epoch (${error.message}): ${less.text}; the run begins anew`,
  };
  return {
    ...attempt,
    settings: Object.freeze({ ...settings, ...less.changes }),
    saveDir: run?.saveDir ?? attempt.saveDir,
    halvings: halvings + (less.halved ? 1 : 0),
    recovered: [...attempt.recovered, event],
  };
}

function outOfMemory(
  { run, attempt, epoch, epochs, saved }: Failure,
  error: Error,
  settings: TrainSettings,
  device: string,
) {
  const situation = {
    settings,
    device,
    precision: run?.precision ?? { enabled: settings.amp !== false && settings.amp !== 'fp32' },
    ...memoryOf(device),
    images: run?.images.train ?? 0,
    channels: run?.model.ch ?? 3,
  };
  const where = `in epoch ${epoch + 1} of ${epochs}`;
  const { halvings } = attempt;
  const tried = halvings > 0 ? `, after ${halvings} smaller batch${halvings === 1 ? '' : 'es'}` : '';

  return new OutOfMemoryError(
    where + tried,
    error,
    saved ?? attempt.resume?.file ?? null,
    remediesFor(situation),
  );
}

// --- what is not finite -----------------------------------------------------------------------------------

async function fromLastGood(failure: Failure, error: NonFiniteError): Promise<Attempt> {
  const { attempt, run, epoch, epochs } = failure;
  const tried = attempt.recovered.filter(({ cause }) => cause === 'non-finite');
  if (run === undefined || attempt.rollbacks >= MOST_ROLLBACKS) throw error.afterAll(tried);
  const file = failure.saved ?? attempt.resume?.file ?? null;
  if (file === null && epoch > 0 && !run.settings.save)
    throw error.afterAll(tried, 'save=false: there is no checkpoint to go back to');
  const resume = file === null ? undefined : await readResume(file);
  const broken =
    resume === undefined ? [] : [resume.weights, resume.live].flatMap((state) => notFinite(() => state));
  if (broken.length > 0) throw error.afterAll(tried, `${file} is not finite either`);
  const rollbacks = attempt.rollbacks + 1;
  const { rate, text } = scheduleOfRollback(rollbacks);
  const back = resume === undefined ? 'the beginning' : `the end of epoch ${resume.state.epoch}`;
  const event: RecoveryEvent = {
    event: 'recovery',
    cause: 'non-finite',
    epoch: epoch + 1,
    from: (resume?.state.epoch ?? 0) + 1,
    attempt: rollbacks,
    attempts: MOST_ROLLBACKS,
    changes: { learningRate: rate },
    culprits: error.culprits,
    files: error.files,
    report:
      `Epoch ${epoch + 1} of ${epochs}: ${error.message}${picturesOf(error.files)}\n` +
      `  going back to ${back} (${rollbacks} of ${MOST_ROLLBACKS}), with ${text}`,
  };
  free(run);
  // What happened before that checkpoint is in its log.
  const known = resume?.state.rollbacks ?? 0;
  const recovered = attempt.recovered.filter(
    ({ cause, attempt: number }) => resume === undefined || (cause === 'non-finite' && number > known),
  );
  return {
    ...attempt,
    settings: run.settings,
    ...(resume === undefined ? {} : { resume }),
    saveDir: run.saveDir,
    rollbacks,
    astray: true,
    recovered: [...recovered, event],
  };
}

const SHOWN = 4;

function picturesOf(files: readonly string[]): string {
  if (files.length === 0) return '';
  const more = files.length > SHOWN ? ` and ${files.length - SHOWN} more` : '';
  const names = files.slice(0, SHOWN).map((file) => path.basename(file));
  return `\n  pictures of the last batch: ${names.join(', ')}${more}`;
}

/** Frees the tensors of a run that is over, without waiting for the garbage collector. */
function free({ model, ema, optimizer, device }: Run): void {
  for (const parameter of model.parameters()) parameter.grad?.dispose();
  const state = optimizer.optimizer.stateDict().state;
  for (const values of Object.values(state)) {
    for (const value of Object.values(values)) {
      if (typeof value === 'object' && value !== null) value.dispose();
    }
  }
  ema.dispose();
  for (const network of [model, ema.model]) {
    for (const tensor of [...network.parameters(), ...network.buffers()]) tensor.dispose();
  }
  // What else it made, such as the views that checkpoints were written from.
  giveBack();
  if (deviceType(device) === 'cuda') cuda.emptyCache(device);
}
