import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '@mezzo/libtorch';
import { arange, cuda, data, Generator, manualSeed, memory, tensor } from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { fixture } from './fixture.ts';
import { heardDuring } from './heard-during.ts';

const golden = fixture<{
  loader: Record<'default_seed_3_batch_4' | 'generator_5_batch_3_drop_last', number[][][]>;
  random_split: Record<'seed_11_lengths_7_3' | 'generator_2_fractions_of_11', number[][]>;
}>('random_streams.json');

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

async function collect<B>(loader: AsyncIterable<B>): Promise<B[]> {
  const batches: B[] = [];
  for await (const batch of loader) batches.push(batch);
  return batches;
}

describe('orders are those of PyTorch for the same seed', () => {
  test('shuffled batches of two epochs, from the default generator', async () => {
    manualSeed(3);
    const loader = new data.DataLoader(range(10), { batchSize: 4, shuffle: true });
    for (const epoch of golden.loader.default_seed_3_batch_4) {
      assert.deepEqual((await collect(loader)).map(numbersOf), epoch);
    }
  });

  test('shuffled batches from a generator, last one dropped', async () => {
    const generator = new Generator().manualSeed(5);
    const loader = new data.DataLoader(range(10), { batchSize: 3, shuffle: true, dropLast: true, generator });
    for (const epoch of golden.loader.generator_5_batch_3_drop_last) {
      assert.deepEqual((await collect(loader)).map(numbersOf), epoch);
    }
    assert.equal(loader.length, 3);
  });

  test('random splits by lengths and by fractions', () => {
    manualSeed(11);
    const split = data.randomSplit(range(10), [7, 3]);
    assert.deepEqual(
      split.map(({ indices }) => indices),
      golden.random_split.seed_11_lengths_7_3,
    );
    const fractions = data.randomSplit(range(11), [0.33, 0.33, 0.34], {
      generator: new Generator().manualSeed(2),
    });
    assert.deepEqual(
      fractions.map(({ indices }) => indices),
      golden.random_split.generator_2_fractions_of_11,
    );
  });

  test('workers and prefetch do not change the order', async () => {
    const orders = [];
    for (const options of [{}, { numWorkers: 3 }, { numWorkers: 2, prefetch: 5 }, { prefetch: 4 }]) {
      manualSeed(8);
      const batches = await collect(
        new data.DataLoader(new Delayed(23), { batchSize: 4, shuffle: true, ...options }),
      );
      orders.push(batches.map(numbersOf));
    }
    for (const order of orders) assert.deepEqual(order, orders[0]);
  });
});

/** Samples that take a while, the more so the smaller their index. */
class Delayed extends data.Dataset<number> {
  readonly length: number;
  running = 0;
  most = 0;
  readonly begun: number[] = [];

  constructor(length: number) {
    super();
    this.length = length;
  }

  async getItem(index: number): Promise<number> {
    this.begun.push(index);
    this.most = Math.max(this.most, ++this.running);
    await sleep((this.length - index) % 5);
    this.running -= 1;
    return index;
  }
}

describe('concurrency', () => {
  test('numWorkers bounds the getItem calls under way', async () => {
    for (const numWorkers of [1, 3]) {
      const dataset = new Delayed(20);
      await collect(new data.DataLoader(dataset, { batchSize: 4, numWorkers, prefetch: 3 }));
      assert.equal(dataset.most, numWorkers);
    }
  });

  test('without workers nothing is fetched before it is asked for', async () => {
    const dataset = new Delayed(12);
    for await (const _ of new data.DataLoader(dataset, { batchSize: 4 })) {
      assert.equal(dataset.begun.length % 4, 0);
      await sleep(5);
      if (dataset.begun.length === 4) break;
    }
    assert.deepEqual(dataset.begun, [0, 1, 2, 3]);
  });

  test('an error of getItem reaches the loop at its batch, after the good ones', async () => {
    class Broken extends Delayed {
      override async getItem(index: number): Promise<number> {
        if (index === 5) throw new Error('sample 5 is broken');
        return super.getItem(index);
      }
    }
    const seen: number[][] = [];
    await assert.rejects(
      async () => {
        for await (const batch of new data.DataLoader(new Broken(12), { batchSize: 2, numWorkers: 4 })) {
          seen.push(numbersOf(batch));
        }
      },
      { message: 'sample 5 is broken' },
    );
    assert.deepEqual(seen, [
      [0, 1],
      [2, 3],
    ]);
  });

  test('leaving the loop early frees the batches fetched ahead', async () => {
    memory.collectGarbage();
    const before = memory.stats().liveTensors;
    for await (const batch of new data.DataLoader(new Delayed(40), {
      batchSize: 2,
      numWorkers: 8,
      prefetch: 6,
    })) {
      await sleep(20);
      batch.dispose();
      break;
    }
    assert.equal(memory.stats().liveTensors, before);
  });
});

describe('batches', () => {
  test('a TensorDataset gives stacked slices', async () => {
    const dataset = new data.TensorDataset(arange(6).view([3, 2]), tensor([10, 20, 30]));
    const batches = await collect(new data.DataLoader(dataset, { batchSize: 2 }));
    assert.deepEqual(
      batches.map((batch) => batch.map((t) => [t!.shape, numbersOf(t!)])),
      [
        [
          [
            [2, 2],
            [0, 1, 2, 3],
          ],
          [[2], [10, 20]],
        ],
        [
          [
            [1, 2],
            [4, 5],
          ],
          [[1], [30]],
        ],
      ],
    );
  });

  test('objects, arrays, strings, booleans and bigints are joined by member', () => {
    const joined = data.defaultCollate([
      { name: 'a', box: [1, 2.5] as [number, number], crowd: true, id: 7n },
      { name: 'b', box: [3, 4] as [number, number], crowd: false, id: 8n },
    ]);
    assert.deepEqual(joined.name, ['a', 'b']);
    assert.deepEqual(joined.box.map(numbersOf), [
      [1, 3],
      [2.5, 4],
    ]);
    assert.deepEqual([joined.crowd.dtype, joined.id.dtype], ['bool', 'int64']);
  });

  test('what cannot be joined is refused', () => {
    assert.throws(() => data.defaultCollate([new Map()]), {
      name: 'DataError',
      code: 'TYPE',
      message:
        'default_collate: batch must contain tensors, numbers, strings, arrays or plain objects; found Map',
    });
    assert.throws(() => data.defaultCollate([[1], [1, 2]]), {
      code: 'VALUE',
      message: 'each element in list of batch should be of equal size',
    });
  });

  test('a collate function gets the samples and makes the batch', async () => {
    const loader = new data.DataLoader(['x', 'yy', 'zzz'], {
      batchSize: 2,
      collate: (samples) => samples.join('+'),
    });
    assert.deepEqual(await collect(loader), ['x+yy', 'zzz']);
  });

  test('Subset and ConcatDataset map indices', async () => {
    const both = new data.ConcatDataset([range(3), new data.Subset(range(10), [9, 7])]);
    assert.equal(both.length, 5);
    assert.deepEqual((await collect(new data.DataLoader(both, { batchSize: 5 }))).map(numbersOf), [
      [0, 1, 2, 9, 7],
    ]);
  });

  test('pinned memory', { skip: cuda.isAvailable() ? false : 'needs a CUDA device' }, async () => {
    for await (const batch of new data.DataLoader(range(4), { batchSize: 2, pinMemory: true })) {
      assert.equal(native().isPinned(batch.handle), true);
    }
  });

  test('pinMemory without a GPU warns and goes on', { skip: cuda.isAvailable() }, () => {
    assert.deepEqual(
      heardDuring(() => new data.DataLoader(range(3), { pinMemory: true })),
      [
        {
          code: 'PIN_MEMORY_UNUSED',
          message:
            "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory " +
            "won't be used.",
        },
      ],
    );
  });
});

test('wrong arguments are refused with the text of PyTorch', () => {
  const cases: [() => unknown, string][] = [
    [() => new data.TensorDataset(tensor([1, 2]), tensor([1])), 'Size mismatch between tensors'],
    [
      () => new data.DataLoader([1], { batchSize: 0 }),
      'batch_size should be a positive integer value, but got batch_size=0',
    ],
    [
      () => new data.DataLoader([], { shuffle: true }),
      'num_samples should be a positive integer value, but got num_samples=0',
    ],
    [
      () => new data.DataLoader([1], { shuffle: true, sampler: new data.SequentialSampler([1]) }),
      'sampler option is mutually exclusive with shuffle',
    ],
    [() => new data.DataLoader([1], { numWorkers: -1 }), 'num_workers option should be non-negative'],
    [
      () => data.randomSplit(range(3), [1, 1]),
      'Sum of input lengths does not equal the length of the input dataset!',
    ],
    [() => data.randomSplit(range(3), [-0.5, 1.5]), 'Fraction at index 0 is not between 0 and 1'],
  ];
  for (const [make, message] of cases) assert.throws(make, { name: 'DataError', code: 'VALUE', message });
});

test('a split without samples warns', () => {
  assert.deepEqual(
    heardDuring(() => data.randomSplit(range(3), [0.9, 0.1])),
    [
      {
        code: 'EMPTY_SPLIT',
        message: 'Length of split at index 1 is 0. This might result in an empty dataset.',
      },
    ],
  );
});
