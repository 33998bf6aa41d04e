import { type ErrorDetails, MezzoError } from '@mezzo/libtorch/errors';

export type ConfigErrorCode =
  /** No option has this name. */
  | 'UNKNOWN_OPTION'
  /** The value is of the wrong type, out of range, or the `=` is missing. */
  | 'BAD_OPTION'
  /** The option or value exists elsewhere, and Mezzo does not do it. */
  | 'UNSUPPORTED_OPTION'
  /** A file of options is missing, unreadable or no YAML. */
  | 'BAD_CONFIG_FILE';

/** An option that cannot be used; `option` is its name in the table, or as it was written. */
export class ConfigError extends MezzoError {
  declare readonly code: ConfigErrorCode;
  readonly option?: string;

  constructor(code: ConfigErrorCode, message: string, details: ErrorDetails & { option?: string } = {}) {
    super(code, message, details);
    this.name = 'ConfigError';
    if (details.option !== undefined) this.option = details.option;
  }
}
