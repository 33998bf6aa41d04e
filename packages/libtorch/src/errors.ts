/** What every error of Mezzo carries beside its message. */
export interface ErrorDetails {
  /** What to do next, as one sentence or command. */
  hint?: string;
  cause?: unknown;
}

/** Messages quote what files say of themselves: control characters of theirs must not reach a terminal. */
const printable = (message: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it is about
  message.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });

/** Base of all errors that Mezzo throws on purpose; `code` is stable and meant for programs. */
export class MezzoError extends Error {
  readonly code: string;
  readonly hint?: string;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(printable(message), details.cause === undefined ? undefined : { cause: details.cause });
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
