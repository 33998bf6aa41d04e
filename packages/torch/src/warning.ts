/** Something that goes on in a way the user may not expect: PyTorch's text, a stable code. */
export interface Warning {
  code:
    | 'CHECKPOINT_WITHOUT_GRAD'
    | 'CUDA_UNAVAILABLE'
    | 'DEPRECATED'
    | 'DROPOUT_UNUSED'
    | 'DUPLICATE_PARAMETERS'
    | 'EMPTY_SPLIT'
    | 'LOW_PRECISION_SOFTMAX'
    | 'NOT_FINITE'
    | 'PIN_MEMORY_UNUSED'
    | 'POLICY_ON_DEVICE'
    | 'SCALER_NOT_NEEDED'
    | 'SCHEDULER_ORDER'
    | 'UNSUPPORTED_DTYPE';
  message: string;
}

export type WarningHandler = (warning: Warning) => void;

const emit: WarningHandler = ({ code, message }) =>
  process.emitWarning(message, { type: 'MezzoWarning', code });

let handler = emit;

/**
 * Sets who hears of warnings and returns who did before; `null` restores the default, which is Node's own
 * `process.emitWarning` (type MezzoWarning).
 */
export function setWarningHandler(next: WarningHandler | null): WarningHandler {
  const previous = handler;
  handler = next ?? emit;
  return previous;
}

export function warn(code: Warning['code'], message: string): void {
  handler({ code, message });
}
