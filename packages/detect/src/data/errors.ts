import { type ErrorDetails, MezzoError } from '@mezzo/libtorch/errors';

/** A data set that cannot be used: the message names the file and, where there is one, the line. */
export class DataError extends MezzoError {
  declare readonly code: 'BAD_DATA';

  constructor(message: string, details: ErrorDetails = {}) {
    super('BAD_DATA', message, details);
    this.name = 'DataError';
  }
}
