import { op } from '../ops/call.ts';
import type { Tensor } from './tensor.ts';

const catOp = op('aten::cat');
const stackOp = op('aten::stack');
const whereOp = op('aten::where');
const einsumOp = op('aten::einsum');
const meshgridOp = op<(...args: unknown[]) => Tensor[]>('aten::meshgrid');
const maximumOp = op('aten::maximum');
const minimumOp = op('aten::minimum');
const broadcastOp = op<(...args: unknown[]) => Tensor[]>('aten::broadcast_tensors');

/** Joins tensors along an existing dimension. */
export const cat = (tensors: readonly Tensor[], dim = 0): Tensor => catOp(tensors, dim);

/** Joins tensors of equal shape along a new dimension. */
export const stack = (tensors: readonly Tensor[], dim = 0): Tensor => stackOp(tensors, dim);

/** `a` where the condition holds, else `b`. */
export const where = (condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor =>
  whereOp(condition, a, b);

/** Sum of products in Einstein's notation, for example `einsum('bij,bjk->bik', a, b)`. */
export const einsum = (equation: string, ...operands: Tensor[]): Tensor => einsumOp(equation, operands);

/** Coordinate grids; 'ij' keeps the order of the inputs, 'xy' swaps the first two dimensions. */
export const meshgrid = (tensors: readonly Tensor[], options: { indexing?: 'ij' | 'xy' } = {}): Tensor[] =>
  meshgridOp(tensors, { indexing: options.indexing ?? 'ij' });

export const maximum = (a: Tensor, b: Tensor): Tensor => maximumOp(a, b);

export const minimum = (a: Tensor, b: Tensor): Tensor => minimumOp(a, b);

export const broadcastTensors = (...tensors: Tensor[]): Tensor[] => broadcastOp(tensors);
