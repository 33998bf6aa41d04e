import assert from 'node:assert/strict';
import { test } from 'node:test';
import { data } from '../src/index.ts';
import { fixture } from './fixture.ts';

interface Shares {
  length: number;
  numReplicas: number;
  dropLast: boolean;
  shuffle: boolean;
  seed: number;
  epoch: number;
  shares: number[][];
}

test("every rank's share is that of PyTorch's sampler", () => {
  const { shares: rows } = fixture<{ shares: Shares[] }>('distributed.json');
  assert.equal(rows.length, 56);
  for (const { length, epoch, shares, ...options } of rows) {
    for (const [rank, share] of shares.entries()) {
      const sampler = new data.DistributedSampler({ length }, { ...options, rank });
      sampler.setEpoch(epoch);
      assert.deepEqual([...sampler], share, JSON.stringify({ length, epoch, rank, ...options }));
      assert.equal(sampler.length, share.length);
    }
  }
});

test('a loader takes the share in its order, whatever its workers', async () => {
  const dataset = new (class extends data.Dataset<number> {
    readonly length = 11;
    override getItem(index: number) {
      return index;
    }
  })();
  const seen: number[] = [];
  for (const rank of [0, 1]) {
    const orders: number[][] = [];
    for (const numWorkers of [0, 1, 4]) {
      const sampler = new data.DistributedSampler(dataset, { numReplicas: 2, rank });
      const loader = new data.DataLoader(dataset, {
        sampler,
        numWorkers,
        collate: (samples: number[]) => samples,
      });
      const order: number[] = [];
      for await (const batch of loader) order.push(...batch);
      orders.push(order);
    }
    assert.deepEqual(orders[1], orders[0]);
    assert.deepEqual(orders[2], orders[0]);
    seen.push(...orders[0]!);
  }
  // 11 samples in two shares of 6: all of them, the first of the order twice.
  assert.equal(seen.length, 12);
  assert.equal(new Set(seen).size, 11);
});

test('a sampler without a group, or out of its range, is refused', () => {
  const refuse = (options: data.DistributedSamplerOptions, message: string, length = 4) =>
    assert.throws(() => new data.DistributedSampler({ length }, options), { code: 'VALUE', message });
  refuse({}, 'DistributedSampler: pass numReplicas and rank, or initProcessGroup first');
  refuse({ numReplicas: 2, rank: 2 }, 'Invalid rank 2, rank should be in the interval [0, 1]');
  refuse({ numReplicas: 0, rank: 0 }, 'numReplicas must be a positive integer, got 0');
  refuse({ numReplicas: 2, rank: 0 }, 'DistributedSampler: expected samples, got 0', 0);
});
