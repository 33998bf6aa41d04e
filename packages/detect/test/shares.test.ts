import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchesOf, partOf } from '../src/data/shares.ts';

test('every sample of every epoch is in one part of one batch, whatever the numbers', () => {
  for (let size = 1; size <= 5; size++) {
    for (let samples = size; samples <= 40; samples++) {
      for (const batch of [1, 2, 3, 4].map((each) => each * size)) {
        const batches = batchesOf(samples, batch, { size });
        const seen = Array.from({ length: batches }, (_, index) =>
          Array.from({ length: size }, (_rank, rank) => {
            const { first, count, whole } = partOf(index, samples, batch, { rank, size });
            assert.ok(
              count > 0 && Math.abs(count - whole / size) < 1,
              `${size} ${samples} ${batch} ${index}`,
            );
            return Array.from({ length: count }, (_sample, i) => first + i);
          }),
        ).flat(2);
        assert.deepEqual(
          seen,
          Array.from({ length: samples }, (_, i) => i),
        );
      }
    }
  }
});

test('one process has the batches that it always had', () => {
  const parts = [0, 1, 2].map((index) => partOf(index, 10, 4, { rank: 0, size: 1 }));
  assert.deepEqual(parts, [
    { first: 0, count: 4, whole: 4 },
    { first: 4, count: 4, whole: 4 },
    { first: 8, count: 2, whole: 2 },
  ]);
});

test('a last batch with too few samples for all ranks joins the one before', () => {
  assert.equal(batchesOf(9, 4, { size: 1 }), 3);
  assert.equal(batchesOf(9, 4, { size: 2 }), 2);
  assert.deepEqual(partOf(1, 9, 4, { rank: 1, size: 2 }), { first: 6, count: 3, whole: 5 });
});
