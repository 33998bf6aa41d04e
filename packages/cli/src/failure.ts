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
  'UNSUPPORTED_OPTION',
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
  'CLASS_COUNT',
  'UNSUPPORTED_WEIGHTS',
  'NOT_A_CHECKPOINT',
  'NO_SUCH_FILE',
  'SAFETENSORS_INVALID',
  'NOTHING_TO_RESUME',
  'NO_SUCH_DEVICE',
  'NO_SUCH_SET',
  'NOT_A_FOLDER',
  'NO_PERMISSION',
  'DISK_FULL',
]);

/** 2: wrong usage or bad input · 130: interrupted · 1: anything else. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof MezzoError)) return 1;
  if (error.code === 'INTERRUPTED') return 130;
  return BAD_INPUT.has(error.code) ? 2 : 1;
}

/** Tells an error: as the JSON line of the contract, or as text with its hint. Bugs come with their stack. */
export function reportFailure(error: unknown, json: boolean, terminal: Terminal): void {
  const known = error instanceof MezzoError;
  const message = error instanceof Error ? error.message : String(error);
  const hint = known ? error.hint : undefined;
  if (json) {
    const code = known ? error.code : 'INTERNAL';
    terminal.print(JSON.stringify({ event: 'error', code, message, hint }));
    if (known) return;
  } else if (known) {
    terminal.note(`${terminal.red('error:')} ${message}`);
    if (hint !== undefined && !message.includes(hint)) terminal.note(`${terminal.yellow('hint:')}  ${hint}`);
    return;
  }
  terminal.note(`${terminal.red('error:')} this is a defect of Mezzo, please report it`);
  terminal.note(error instanceof Error ? (error.stack ?? message) : message);
}
