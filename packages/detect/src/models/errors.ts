import { type ErrorDetails, MezzoError } from '@mezzo/libtorch/errors';

/** A model that cannot be resolved or built (`UNKNOWN_MODEL`, `BAD_MODEL`), or images it cannot take (`BAD_INPUT`). */
export class ModelError extends MezzoError {
  constructor(
    code: 'UNKNOWN_MODEL' | 'BAD_MODEL' | 'BAD_INPUT',
    message: string,
    details: ErrorDetails = {},
  ) {
    super(code, message, details);
    this.name = 'ModelError';
  }
}
