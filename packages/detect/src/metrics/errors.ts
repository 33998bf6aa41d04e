import { type ErrorDetails, MezzoError } from '@mezzo/libtorch/errors';

/** Values that cannot be measured: `BAD_PREDICTION` (shape), `UNKNOWN_IMAGE` (a detection on an unlisted image). */
export class MetricsError extends MezzoError {
  constructor(code: 'BAD_PREDICTION' | 'UNKNOWN_IMAGE', message: string, details: ErrorDetails = {}) {
    super(code, message, details);
    this.name = 'MetricsError';
  }
}
