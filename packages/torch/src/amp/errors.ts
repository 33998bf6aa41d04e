import { MezzoError } from '@mezzo/libtorch';

/**
 * Wrong use of autocast or GradScaler, with PyTorch's text where it has one. `code`: VALUE (Python's
 * ValueError), RUNTIME (RuntimeError), ASSERTION (AssertionError), INSIDE_AUTOCAST (ours).
 */
export class AmpError extends MezzoError {
  constructor(
    code: 'VALUE' | 'RUNTIME' | 'ASSERTION' | 'INSIDE_AUTOCAST',
    message: string,
    details: { hint?: string } = {},
  ) {
    super(code, message, details);
    this.name = 'AmpError';
  }
}
