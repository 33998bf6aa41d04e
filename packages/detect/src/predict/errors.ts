import { type ErrorDetails, MezzoError } from '@mezzo/libtorch/errors';

export type SourceErrorCode =
  /** Nothing lies at the path, or nothing matches the pattern. */
  | 'SOURCE_MISSING'
  /** A folder, pattern or list without any image. */
  | 'SOURCE_EMPTY'
  /** Video, stream, camera, screen, address, or a file that is no image. */
  | 'SOURCE_UNSUPPORTED'
  /** An image that cannot be decoded. */
  | 'BAD_IMAGE';

/** An input of a prediction that cannot be used: always the user's input, never a fault of the program. */
export class SourceError extends MezzoError {
  declare readonly code: SourceErrorCode;

  constructor(code: SourceErrorCode, message: string, details: ErrorDetails = {}) {
    super(code, message, details);
    this.name = 'SourceError';
  }
}
