import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  empty,
  forkRng,
  full,
  Generator,
  getRngState,
  initialSeed,
  manualSeed,
  op,
  rand,
  randint,
  randn,
  randperm,
  setRngState,
  tensor,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { fixture } from './fixture.ts';

interface Streams {
  seed: string;
  initial_seed: string;
  rand: number[];
  randn: number[];
  randn_40_last: number[];
  randint: number[];
  randperm: number[];
  uniform_: number[];
  normal_: number[];
  bernoulli: number[];
}

const golden = fixture<{ default: Streams[]; generators: Pick<Streams, 'seed' | 'rand' | 'randperm'>[] }>(
  'random_streams.json',
);

const uniform_ = op('aten::uniform_');
const normal_ = op('aten::normal_');
const bernoulli = op('aten::bernoulli', '');

/** Box-Muller goes through the mathematics library, so the last bit may differ between machines. */
function near(actual: number[], expected: number[]): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]!) <= 2e-6, `${i}: ${value} for ${expected[i]}`);
  });
}

describe('the CPU streams after manualSeed are those of PyTorch', () => {
  for (const row of golden.default) {
    test(`seed ${row.seed}`, () => {
      manualSeed(BigInt(row.seed));
      assert.deepEqual(numbersOf(rand([5])), row.rand);
      near(numbersOf(randn([5])), row.randn);
      near(numbersOf(randn([40])).slice(-3), row.randn_40_last);
      assert.deepEqual(numbersOf(randint(0, 1000, [6])), row.randint);
      assert.deepEqual(numbersOf(randperm(10)), row.randperm);
      assert.deepEqual(numbersOf(uniform_(empty([3]), -2, 3)), row.uniform_);
      near(numbersOf(normal_(empty([3]), 1, 2)), row.normal_);
      assert.deepEqual(numbersOf(bernoulli(full([8], 0.3))), row.bernoulli);
      assert.equal(String(initialSeed()), row.initial_seed);
    });
  }
});

test('a generator of its own has the stream of torch.Generator and leaves the default one alone', () => {
  manualSeed(1);
  const before = getRngState();
  for (const row of golden.generators) {
    const generator = new Generator().manualSeed(Number(row.seed));
    assert.deepEqual(numbersOf(rand([3], { generator })), row.rand);
    assert.deepEqual(numbersOf(randperm(7, { generator })), row.randperm);
    assert.equal(generator.initialSeed(), BigInt(row.seed));
  }
  assert.deepEqual(getRngState(), before);
});

test('a state put back repeats the stream; as bytes and as a uint8 tensor', () => {
  manualSeed(9);
  rand([3]);
  const state = getRngState();
  const first = numbersOf(randn([7]));
  setRngState(state);
  assert.deepEqual(numbersOf(randn([7])), first);
  setRngState(tensor(state));
  assert.deepEqual(numbersOf(randn([7])), first);
  const generator = new Generator().setState(state);
  assert.deepEqual(numbersOf(randn([7], { generator })), first);
  assert.deepEqual(new Generator().setState(generator.getState()).getState(), generator.getState());
});

test('forkRng puts the default generator back, also after an error', () => {
  manualSeed(4);
  const state = getRngState();
  assert.equal(
    forkRng(() => rand([5]).numel()),
    5,
  );
  assert.deepEqual(getRngState(), state);
  assert.throws(
    () =>
      forkRng(() => {
        manualSeed(77);
        throw new Error('inside');
      }),
    { message: 'inside' },
  );
  assert.deepEqual(getRngState(), state);
});

test('seed() draws another seed each time and starts the stream from it', () => {
  const generator = new Generator();
  const seed = generator.seed();
  assert.notEqual(seed, generator.seed());
  generator.manualSeed(seed);
  assert.equal(generator.initialSeed(), seed);
});

test('seeds out of range are refused', () => {
  const cases: [number | bigint, string][] = [
    [0.5, 'manualSeed: the seed must be an integer, got 0.5'],
    [2n ** 64n, 'manualSeed: the seed must be in [-2^63, 2^64), got 18446744073709551616'],
    [-(2n ** 63n) - 1n, 'manualSeed: the seed must be in [-2^63, 2^64), got -9223372036854775809'],
  ];
  for (const [seed, message] of cases) {
    assert.throws(() => manualSeed(seed), { name: 'TorchError', code: 'VALUE', message });
  }
});

test('a disposed generator is an error, not another one', () => {
  const generator = new Generator();
  generator.dispose();
  assert.throws(() => rand([2], { generator }), { code: 'STALE_HANDLE' });
});
