import { MezzoError } from '@mezzo/libtorch';

/**
 * Wrong use of autocast or GradScaler, with PyTorch's text where it has one. `code`: VALUE (Python's
 * ValueError), RUNTIME (RuntimeError), ASSERTION (AssertionError), INSIDE_AUTOCAST (ours), SCALE_FLOOR
 * (`ScaleFloorError`).
 */
export class AmpError extends MezzoError {
  constructor(
    code: 'VALUE' | 'RUNTIME' | 'ASSERTION' | 'INSIDE_AUTOCAST' | 'SCALE_FLOOR',
    message: string,
    details: { hint?: string } = {},
  ) {
    super(code, message, details);
    this.name = 'AmpError';
  }
}

const NAMED = 5;

/** The gradients still overflow with the smallest scale that the rule allows: the scale is not the cause. */
export class ScaleFloorError extends AmpError {
  readonly scale: number;
  /** Parameters whose gradients were not finite; empty when nobody told. */
  readonly culprits: readonly string[];

  /** @param ranks those that they overflowed on, where several train together */
  constructor(scale: number, culprits: readonly string[], ranks: readonly number[] = []) {
    const where = ranks.length === 0 ? '' : ` on rank ${ranks.join(', ')}`;
    super(
      'SCALE_FLOOR',
      `the loss scale is at its floor of ${scale} and the gradients still overflow${where}${among(culprits)}`,
      {
        hint:
          'lower the learning rate, look at the pictures and labels of the last batches, keep the layers ' +
          'named here in fp32, or use bf16',
      },
    );
    this.name = 'ScaleFloorError';
    this.scale = scale;
    this.culprits = culprits;
  }
}

function among(culprits: readonly string[]): string {
  if (culprits.length === 0) return '';
  const more = culprits.length > NAMED ? ` and ${culprits.length - NAMED} more` : '';
  return `: ${culprits.slice(0, NAMED).join(', ')}${more}`;
}
