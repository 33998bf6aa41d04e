import { type ErrorDetails, MezzoError } from '@mezzo/libtorch/errors';

/** A model that cannot be resolved or built (`UNKNOWN_MODEL`, `BAD_MODEL`), or images it cannot take (`BAD_INPUT`). */
export class ModelError extends MezzoError {
  /** The layer of the table that is wrong, counted from 0. */
  layer: number | undefined;
  /** The key of the table that is wrong. */
  readonly key: string | undefined;

  constructor(
    code: 'UNKNOWN_MODEL' | 'BAD_MODEL' | 'BAD_INPUT',
    message: string,
    details: ErrorDetails & { key?: string } = {},
  ) {
    super(code, message, details);
    this.name = 'ModelError';
    this.key = details.key;
  }
}
