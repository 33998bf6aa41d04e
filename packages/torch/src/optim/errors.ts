import { MezzoError } from '@mezzo/libtorch';

/**
 * A wrong option, state or order of calls of an optimizer or schedule, with PyTorch's text where it has one.
 * `code`: VALUE (Python's ValueError), TYPE (TypeError), KEY (KeyError), RUNTIME (RuntimeError).
 */
export class OptimizerError extends MezzoError {
  constructor(code: 'VALUE' | 'TYPE' | 'KEY' | 'RUNTIME', message: string, details: { hint?: string } = {}) {
    super(code, message, details);
    this.name = 'OptimizerError';
  }
}
