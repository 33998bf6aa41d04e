/** Values as Python prints them, for modules that print as PyTorch's do. */

export const pythonBool = (value: boolean): string => (value ? 'True' : 'False');

/** A float: 0.5, 1.0, 1e-05. */
export function pythonFloat(value: number): string {
  if (Number.isInteger(value)) return value.toFixed(1);
  return Math.abs(value) < 1e-4 ? value.toExponential().replace(/-(\d)$/, '-0$1') : String(value);
}

/** A tuple of integers. */
export const tuple = (sizes: readonly number[]): string =>
  sizes.length === 1 ? `(${sizes[0]},)` : `(${sizes.join(', ')})`;

/** An integer or a tuple of them, whichever was given. */
export const sizeRepr = (size: number | readonly number[]): string =>
  typeof size === 'number' ? String(size) : tuple(size);

/** A shape. */
export const torchSize = (shape: readonly number[]): string => `torch.Size([${shape.join(', ')}])`;
