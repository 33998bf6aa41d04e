import type { DType } from '@mezzo/torch';
import { checkOptions, KerasError } from '../errors.ts';
import { autoName } from '../naming.ts';
import { KerasTensor } from './keras-tensor.ts';
import type { Shape } from './shape.ts';

export interface InputOptions {
  /** Without the batch: `[28, 28, 1]`; null where any size may come. */
  shape: Shape;
  /** Default float32. */
  dtype?: DType;
  name?: string;
}

/**
 * The beginning of a functional model, or the first entry of a Sequential one (keras.Input).
 * @throws KerasError BAD_OPTION for a size that is no whole number above 0
 */
export function Input(options: InputOptions): KerasTensor {
  checkOptions('Input', options, ['shape', 'dtype', 'name']);
  const { shape, dtype = 'float32', name = autoName('input_layer') } = options;
  for (const size of shape) {
    if (size === null || (Number.isInteger(size) && size > 0)) continue;
    throw new KerasError(
      'BAD_OPTION',
      `Input: shape must hold whole numbers above 0 or null, not ${String(size)}`,
    );
  }
  return new KerasTensor([null, ...shape], dtype, name, null);
}
