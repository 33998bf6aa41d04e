import assert from 'node:assert/strict';
import { manualSeed, nn, type optim, randn, type Tensor } from '../src/index.ts';

/** Two layers by hand: a model small enough that fp16 and fp32 stay near each other. */
export function model(): Tensor[] {
  manualSeed(5);
  return [new nn.Parameter(randn([8, 8]).mul(0.3)), new nn.Parameter(randn([8, 4]).mul(0.3))];
}

export const forward = ([a, b]: Tensor[], x: Tensor) => x.matmul(a!).relu().matmul(b!);

export const lossOf = (params: Tensor[], x: Tensor, y: Tensor) =>
  nn.functional.mseLoss(forward(params, x).float(), y);

export function batches(count: number): [Tensor, Tensor][] {
  manualSeed(6);
  return Array.from({ length: count }, () => [randn([16, 8]), randn([16, 4])]);
}

export const gradsOf = (params: readonly Tensor[]) => params.map((param) => param.grad!);

export const stateOf = (optimizer: optim.Optimizer) =>
  Object.values(optimizer.stateDict().state).flatMap((entry) => Object.values(entry) as Tensor[]);

export function assertNear(actual: readonly Tensor[], expected: readonly Tensor[], tolerance: number): void {
  actual.forEach((t, i) => {
    const error = t.sub(expected[i]!).abs().max().item() as number;
    assert.ok(error <= tolerance, `tensor ${i} is off by ${error}`);
  });
}
