import { op, type Tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import type { Shape } from '../graph/shape.ts';

/** 'valid' adds nothing, 'same' gives ceil(size / stride) outputs. */
export type Padding = 'valid' | 'same';
export type Sizes = number | readonly number[];

/** @throws KerasError BAD_OPTION */
export function requirePadding(
  layer: string,
  padding: string,
  allowed: readonly string[] = ['valid', 'same'],
): void {
  if (allowed.includes(padding)) return;
  const names = allowed.map((name) => `'${name}'`).join(' or ');
  throw new KerasError('BAD_OPTION', `layer '${layer}': padding must be ${names}, not '${padding}'`);
}

/** One number for every dimension, or a list of them. @throws KerasError BAD_OPTION */
export function sizesOf(layer: string, option: string, sizes: Sizes, rank: number): readonly number[] {
  const list = typeof sizes === 'number' ? new Array<number>(rank).fill(sizes) : sizes;
  if (list.length === rank && list.every((size) => Number.isInteger(size) && size > 0)) return list;
  throw new KerasError(
    'BAD_OPTION',
    `layer '${layer}': ${option} must be a whole number above 0 or ${rank} of them, not ${JSON.stringify(sizes)}`,
  );
}

/** A window that slides over the spatial dimensions. */
export interface Window {
  readonly size: readonly number[];
  readonly strides: readonly number[];
  readonly dilation: readonly number[];
  readonly padding: Padding;
}

/** Outputs along each spatial dimension; null where the input's size is. */
export const slidOver = (spatial: Shape, { size, strides, dilation, padding }: Window): Shape =>
  spatial.map((length, i) => {
    if (length === null) return null;
    const extent = (size[i]! - 1) * dilation[i]! + 1;
    const room = padding === 'same' ? length : length - extent + 1;
    return Math.ceil(room / strides[i]!);
  });

/** Padding before and after each spatial dimension that 'same' needs for these lengths. */
export function samePadding(
  spatial: readonly number[],
  { size, strides, dilation }: Window,
): (readonly [before: number, after: number])[] {
  return spatial.map((length, i) => {
    const extent = (size[i]! - 1) * dilation[i]! + 1;
    const stride = strides[i]!;
    const total = Math.max(0, (Math.ceil(length / stride) - 1) * stride + extent - length);
    return [Math.floor(total / 2), total - Math.floor(total / 2)];
  });
}

const padOp = op('aten::pad');

/** Pads the spatial dimensions of x [N, C, …]. */
export const padSpatial = (
  x: Tensor,
  amounts: readonly (readonly [before: number, after: number])[],
  mode: 'constant' | 'replicate' = 'constant',
): Tensor => padOp(x, [...amounts].reverse().flat(), mode);

/** What of 'same' padding an operation can do by itself, and the input padded by the rest. */
export function applySame(
  x: Tensor,
  window: Window,
  mode: 'constant' | 'replicate' = 'constant',
): [x: Tensor, padding: readonly number[]] {
  const none = window.size.map(() => 0);
  if (window.padding === 'valid') return [x, none];
  const amounts = samePadding(x.shape.slice(2), window);
  if (amounts.every(([before, after]) => before === after)) return [x, amounts.map(([before]) => before)];
  return [padSpatial(x, amounts, mode), none];
}

/** x [N, …, C] seen as [N, C, …]: strides change, memory stays, which is channels_last to LibTorch. */
export const channelsFirst = (x: Tensor): Tensor => x.permute(0, x.ndim - 1, ...range(1, x.ndim - 1));

/** x [N, C, …] seen as [N, …, C]. */
export const channelsLast = (x: Tensor): Tensor => x.permute(0, ...range(2, x.ndim), 1);

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
