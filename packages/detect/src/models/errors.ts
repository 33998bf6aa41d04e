import { type ErrorDetails, MezzoError } from '@mezzo/libtorch/errors';

/** A model that cannot be resolved, built or loaded: `UNKNOWN_MODEL`, `BAD_MODEL`. */
export class ModelError extends MezzoError {
  constructor(code: 'UNKNOWN_MODEL' | 'BAD_MODEL', message: string, details: ErrorDetails = {}) {
    super(code, message, details);
    this.name = 'ModelError';
  }
}
