import { op } from '../ops/call.ts';
import type { Generator } from '../random/generator.ts';
import { empty, randperm } from '../tensor/creation.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

const random_ = op<(self: Tensor, options: { generator?: Generator }) => Tensor>('aten::random_', '');

/** 0 … n-1 in random order. */
export const permutation = (n: number, generator?: Generator): number[] =>
  scope(() => Array.from(randperm(n, { generator }).toTypedArray() as BigInt64Array, Number));

/** A seed in [0, 2^63), drawn as PyTorch's loader and sampler draw theirs. */
export const drawSeed = (generator?: Generator): bigint =>
  scope(() => (random_(empty([], { dtype: 'int64' }), { generator }).toTypedArray() as BigInt64Array)[0]!);
