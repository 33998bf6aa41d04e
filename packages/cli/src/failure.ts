import { MezzoError } from '@mezzo/libtorch/errors';
import type { Terminal } from './terminal.ts';

/** A command line that cannot be understood. */
export class UsageError extends MezzoError {
  declare readonly code: 'UNKNOWN_COMMAND' | 'USAGE' | 'UNSUPPORTED';

  constructor(code: 'UNKNOWN_COMMAND' | 'USAGE' | 'UNSUPPORTED', message: string, hint?: string) {
    super(code, message, { hint });
    this.name = 'UsageError';
  }
}

/** Codes of errors whose cause is what the user gave: a word, an option, a file, a data set, a folder. */
export const BAD_INPUT: ReadonlySet<string> = new Set([
  'UNKNOWN_COMMAND',
  'USAGE',
  'UNSUPPORTED',
  'UNKNOWN_OPTION',
  'BAD_OPTION',
  'BAD_PLAN',
  'PLAN_MISMATCH',
  'BAD_RECORDING',
  'BAD_REPORT',
  'UNSUPPORTED_OPTION',
  'UNKNOWN_SCALER',
  'BAD_CONFIG_FILE',
  'NO_DATA',
  'BAD_DATA',
  'BAD_IMAGE',
  'BAD_TARGETS',
  'SOURCE_MISSING',
  'SOURCE_EMPTY',
  'SOURCE_UNSUPPORTED',
  'NO_SUCH_MODEL',
  'UNKNOWN_MODEL',
  'BAD_MODEL',
  'BAD_INPUT',
  'UNKNOWN_ID',
  'SHAPE_MISMATCH',
  'BAD_WEIGHTS',
  'CLASS_COUNT',
  'UNSUPPORTED_WEIGHTS',
  'UNSUPPORTED_EXPORT',
  'HALF_RANGE',
  'NOT_A_CHECKPOINT',
  'NO_SUCH_FILE',
  'SAFETENSORS_INVALID',
  'PT_INVALID',
  'PT_FOREIGN',
  'PT_UNSAFE',
  'PT_UNSUPPORTED',
  'PT_LIMIT',
  'UNSUPPORTED_DTYPE',
  'READ_FAILED',
  'NOTHING_TO_RESUME',
  'NO_SUCH_DEVICE',
  'PORT_IN_USE',
  'RANKS_DIFFER',
  'NO_SUCH_SET',
  'NOT_A_FOLDER',
  'NO_PERMISSION',
  'DISK_FULL',
  'WRITE_FAILED',
]);

/** What the file system refuses, by the code of Node's error: the user's folder or disk, not a defect. */
const REFUSED: Readonly<Record<string, readonly [code: string, hint: string]>> = {
  ENOSPC: ['DISK_FULL', 'free some space, or write to another disk'],
  EDQUOT: ['DISK_FULL', 'free some of your quota, or write to another disk'],
  EACCES: ['NO_PERMISSION', 'change the permissions, or choose another file or folder'],
  EPERM: ['NO_PERMISSION', 'change the permissions, or choose another file or folder'],
  EROFS: ['NO_PERMISSION', 'the disk is read-only: choose another folder'],
};

/** The error as Mezzo tells it, or undefined for a defect. */
function knownError(error: unknown): MezzoError | undefined {
  if (error instanceof MezzoError) return error;
  const refused = REFUSED[(error as NodeJS.ErrnoException | null)?.code ?? ''];
  if (refused === undefined || !(error instanceof Error)) return undefined;
  return new MezzoError(refused[0], error.message, { hint: refused[1], cause: error });
}

/** 2: wrong usage or bad input · 130: interrupted · 1: anything else. */
export function exitCodeOf(error: unknown): number {
  const known = knownError(error);
  if (known === undefined) return 1;
  if (known.code === 'INTERRUPTED') return 130;
  return BAD_INPUT.has(known.code) ? 2 : 1;
}

/** Tells an error: as the JSON line of the contract, or as text with its hint. Bugs come with their stack. */
export function reportFailure(error: unknown, json: boolean, terminal: Terminal): void {
  const known = knownError(error);
  const message = error instanceof Error ? error.message : String(error);
  if (json) {
    const { code, hint } = known ?? { code: 'INTERNAL', hint: undefined };
    terminal.print(JSON.stringify({ event: 'error', code, message, hint }));
    if (known !== undefined) return;
  }
  if (known === undefined) {
    terminal.note(`${terminal.red('error:')} this is a defect of Mezzo, please report it`);
    terminal.note(error instanceof Error ? (error.stack ?? message) : message);
    return;
  }
  terminal.note(`${terminal.red('error:')} ${message}`);
  // An error about LibTorch has its cure in its text already.
  if (known.hint !== undefined && !message.includes(known.hint)) {
    terminal.note(`${terminal.yellow('hint:')}  ${known.hint}`);
  }
}
