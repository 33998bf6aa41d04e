import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observe } from '@mezzo/precision';
import { memory, nn, ones, ops, scope } from '@mezzo/torch';

test('nested tensors, whose sizes differ from row to row, are observed with the rest', () =>
  scope(() => {
    const rows = [ones([2]), ones([3])];
    const { trace } = observe(new nn.Identity(), { finiteness: true }, () => {
      const nested = ops._nested_tensor_from_tensor_list(rows);
      nested.mul(2);
      return ones([3]).add(1);
    });
    const counts = Object.fromEntries(trace.ops.map(({ op, count }) => [op, count]));
    assert.deepEqual([counts['aten::mul'], counts['aten::add']], [1, 1]);
    assert.deepEqual(trace.nonFinite, []);
  }));

test('what cannot be observed is an error, not a gap; the program itself goes on', () =>
  scope(() => {
    const x = ones([4]);
    const run = () => {
      memory.setLimit(1);
      try {
        x.neg_();
      } finally {
        memory.setLimit(0);
      }
    };
    assert.throws(() => observe(new nn.Identity(), { finiteness: true }, run), {
      code: 'TORCH',
      message: /^the observation is incomplete, from aten::neg_: .*memory/s,
    });
    assert.deepEqual(Array.from(x.toTypedArray() as Float32Array), [-1, -1, -1, -1]);
    const { trace } = observe(new nn.Identity(), { finiteness: true }, () => x.add(1));
    assert.equal(trace.ops.length, 1);
  }));
