import { existsSync } from 'node:fs';
import path from 'node:path';
import { MezzoError } from '@mezzo/torch';
import type { TrainOptions, TrainSettings } from '../config/index.ts';
import { type CheckpointContents, readCheckpoint } from './checkpoint.ts';
import type { TrainEvent } from './event.ts';
import { preferSafetensors } from './model-source.ts';
import { findCheckpoints, runFolder } from './run-folder.ts';

/** What a resumed run may change. */
const RESUME_OVERRIDES: readonly (keyof TrainOptions)[] = [
  'batch',
  'cache',
  'close_mosaic',
  'device',
  'exist_ok',
  'imgsz',
  'patience',
  'plots',
  'save_period',
  'time',
  'val',
  'verbose',
  'workers',
];

/** `resume=` of a run that is begun, and continued wherever it was left. */
export const AUTO = 'auto';

/** What says how a run is continued, and not what it is. */
const NOT_SAVED: readonly string[] = ['model', 'ranks', 'resume', 'timeout'];

/** A run's checkpoint, to go on from. */
export type Resume = NonNullable<CheckpointContents['training']> & {
  readonly file: string;
  readonly contents: CheckpointContents;
  readonly weights: CheckpointContents['weights'];
};

/** The checkpoint that `resume=` names: true is the newest run's, auto that of the run itself where it has one. */
export async function openResume(settings: TrainSettings): Promise<Resume | undefined> {
  if (settings.resume === false) return undefined;
  if (settings.resume === AUTO) {
    const own = path.join(runFolder('train', settings), 'weights', 'last.safetensors');
    return existsSync(own) ? readResume(own) : undefined;
  }
  const file =
    settings.resume === true
      ? findCheckpoints(path.resolve(settings.project ?? 'runs'))[0]
      : preferSafetensors(settings.resume);
  if (file === undefined || !existsSync(file)) {
    const what =
      file === undefined
        ? `no run under ${path.resolve(settings.project ?? 'runs')} has a checkpoint`
        : `no such file: ${file}`;
    throw new MezzoError('NOTHING_TO_RESUME', `resume: ${what}`, {
      hint: 'a run writes its first checkpoint after its first epoch, or when it is interrupted with Ctrl-C',
    });
  }
  if (path.extname(file) === '.pt') {
    throw new MezzoError('NOTHING_TO_RESUME', `${file}: only Mezzo's own checkpoints can be resumed`, {
      hint: `train on from its weights with model=${file}`,
    });
  }
  return readResume(file);
}

/** @throws {MezzoError} NOTHING_TO_RESUME for the checkpoint of a finished run, or of weights alone */
export async function readResume(file: string): Promise<Resume> {
  const contents = await readCheckpoint(file);
  if (!contents.training || contents.training.state.finished) {
    throw new MezzoError(
      'NOTHING_TO_RESUME',
      `${file}: this training is finished, there is nothing to resume`,
      {
        hint: `train on from its weights with model=${file}`,
      },
    );
  }
  return { ...contents.training, file, contents, weights: contents.weights };
}

/**
 * Options of a resumed run: those of its checkpoint, but for the few that may change. Says of the others that they
 * stay.
 */
export function resumedSettings(
  resume: Resume,
  options: TrainOptions,
  given: TrainSettings,
  emit: (event: TrainEvent) => void,
): TrainSettings {
  const saved = resume.state.settings as unknown as TrainSettings;
  const changed: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options)) {
    if (NOT_SAVED.includes(key) || value === undefined) continue;
    if (RESUME_OVERRIDES.includes(key as keyof TrainOptions))
      changed[key] = given[key as keyof TrainSettings];
    else if (given[key as keyof TrainSettings] !== saved[key as keyof TrainSettings]) {
      const text = `${key} is fixed when a run begins: its value ${String(saved[key as keyof TrainSettings])} stays`;
      emit({ event: 'message', level: 'warning', text });
    }
  }
  return Object.freeze({
    ...saved,
    ...changed,
    ranks: given.ranks,
    timeout: given.timeout,
    resume: given.resume,
  });
}
