/** What every error of Mezzo carries beside its message. */
export interface ErrorDetails {
  /** What to do next, as one sentence or command. */
  hint?: string;
  cause?: unknown;
}

/** Base of all errors that Mezzo throws on purpose; `code` is stable and meant for programs. */
export class MezzoError extends Error {
  readonly code: string;
  readonly hint?: string;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'MezzoError';
    this.code = code;
    if (details.hint !== undefined) this.hint = details.hint;
  }
}

/** An error raised by LibTorch or the bridge; `trace` is the C++ backtrace where there is one. */
export class TorchError extends MezzoError {
  readonly trace?: string;

  constructor(code: string, message: string, details: ErrorDetails & { trace?: string } = {}) {
    super(code, message, details);
    this.name = 'TorchError';
    if (details.trace !== undefined) this.trace = details.trace;
  }
}
