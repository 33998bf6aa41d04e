import { MezzoError } from '@mezzo/libtorch';

/**
 * Why a .pt file is not read: `PT_INVALID` damaged · `PT_FOREIGN` something else than torch.save writes · `PT_UNSAFE` it asks
 * for code to be run · `PT_UNSUPPORTED` a kind of content that is not read · `PT_LIMIT` larger than any honest file.
 */
export type PtErrorCode = 'PT_INVALID' | 'PT_FOREIGN' | 'PT_UNSAFE' | 'PT_UNSUPPORTED' | 'PT_LIMIT';

const HINTS: Readonly<Record<PtErrorCode, string>> = {
  PT_INVALID: 'the file is damaged or incomplete: copy or download it again',
  PT_FOREIGN: 'give a file that torch.save wrote, or a .safetensors file',
  PT_UNSAFE: 'nothing of it was run; do not open this file with Python either, unless you trust who made it',
  PT_UNSUPPORTED:
    'save it again in Python: torch.save({k: v.contiguous() for k, v in model.state_dict().items()}, path)',
  PT_LIMIT: 'nothing of it was loaded; an honest file of weights does not look like this',
};

/** More of what a file says about itself helps nobody. */
const LONGEST_FINDING = 400;

const shortened = (found: string): string =>
  found.length > LONGEST_FINDING ? `${found.slice(0, LONGEST_FINDING)}…` : found;

/** A .pt file that is refused. Nothing was run, and nothing was written. */
export class PtError extends MezzoError {
  declare readonly code: PtErrorCode;
  readonly path: string;
  /** What was found, as a clause: `it asks Python to call posix.system`. */
  readonly found: string;
  /** Where in the file: `data.pkl, byte 57 (REDUCE)`; empty when it is the file as a whole. */
  readonly where: string;

  constructor(code: PtErrorCode, path: string, found: string, where = '', cause?: unknown) {
    const place = where === '' ? '' : ` (${shortened(where)})`;
    super(code, `${path}: ${shortened(found)}${place}`, { cause, hint: HINTS[code] });
    this.name = 'PtError';
    this.path = path;
    this.found = found;
    this.where = where;
  }
}

/** Throws the file's error; a reader hands it down so that its parts need not know the path. */
export type Refuse = (code: PtErrorCode, found: string, where?: string, cause?: unknown) => never;

export function refusing(path: string): Refuse {
  return (code, found, where, cause) => {
    throw new PtError(code, path, found, where, cause);
  };
}
