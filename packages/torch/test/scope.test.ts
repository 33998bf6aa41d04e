import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import {
  keep,
  memory,
  nn,
  noGrad,
  ones,
  scope,
  type Tensor,
  TorchError,
  tensor,
  zeros,
} from '../src/index.ts';
import { assertNothingLeft } from './assert-memory.ts';

const isLive = (t: Tensor) => native().isLive(t.handle);

/** Tensors that `fn` leaves behind, once what it forgot is collected. */
function growth(fn: () => void): number {
  memory.collectGarbage();
  const before = memory.stats().liveTensors;
  fn();
  memory.collectGarbage();
  return memory.stats().liveTensors - before;
}

describe('scope', () => {
  test('frees what was made in it, except what it returns', () => {
    let inner: Tensor | undefined;
    const outer = scope(() => {
      inner = ones([2]);
      return inner.add(1);
    });
    assert.equal(isLive(inner!), false);
    assert.equal(isLive(outer), true);
    outer.dispose();
    assert.equal(isLive(outer), false);
  });

  test('finds what is returned in arrays, plain objects and Maps', () => {
    const result = scope(() => ({
      list: [ones([1]), [ones([1])]],
      map: new Map([['a', ones([1])]]),
      nested: { deep: ones([1]) },
      other: 'text',
    }));
    const found = [
      result.list[0] as Tensor,
      (result.list[1] as Tensor[])[0]!,
      result.map.get('a')!,
      result.nested.deep,
    ];
    assert.ok(found.every(isLive));
    for (const t of found) t.dispose();
  });

  test('a returned cycle ends the search', () => {
    interface Node {
      t: Tensor;
      self?: Node;
    }
    const node = scope(() => {
      const made: Node = { t: ones([1]) };
      made.self = made;
      return made;
    });
    assert.ok(isLive(node.t));
  });

  test('scopes nest: a result belongs to the enclosing one', () => {
    let middle: Tensor | undefined;
    const outer = scope(() => {
      middle = scope(() => ones([1]).add(1));
      assert.ok(isLive(middle));
      return scope(() => scope(() => middle!.add(1)));
    });
    assert.equal(isLive(middle!), false);
    assert.deepEqual(outer.toTypedArray(), Float32Array.of(3));
  });

  test('keep takes a tensor out of all scopes', () => {
    let kept: Tensor | undefined;
    scope(() => {
      scope(() => {
        kept = keep(ones([1]));
      });
    });
    assert.ok(isLive(kept!));
    assert.equal(keep(kept!), kept);
  });

  test('tensors from outside are untouched, also when they are returned', () => {
    const outside = ones([1]);
    assert.equal(
      scope(() => outside),
      outside,
    );
    assert.ok(isLive(outside));
  });

  test('views outlive their base', () => {
    const view = scope(() => tensor([1, 2, 3]).narrow(0, 1, 2));
    assert.deepEqual(view.toTypedArray(), Float32Array.of(2, 3));
  });

  test('an error frees everything and passes through', () => {
    let made: Tensor | undefined;
    assert.throws(
      () =>
        scope(() => {
          made = ones([1]);
          throw new Error('mine');
        }),
      { message: 'mine' },
    );
    assert.equal(isLive(made!), false);
    assert.equal(native().inScope(), false);
  });

  test('an async function is refused before it runs, a promise after', () => {
    const message =
      'scope: the function is async. Its region is a property of the thread, so other code would run inside it ' +
      'during an await; pass a synchronous function and await outside';
    let ran = false;
    assert.throws(
      () =>
        scope(async () => {
          ran = true;
        }),
      (error) => error instanceof TorchError && error.code === 'ASYNC_REGION' && error.message === message,
    );
    assert.equal(ran, false);
    let made: Tensor | undefined;
    assert.throws(
      () =>
        scope(() => {
          made = ones([1]);
          return Promise.resolve(made);
        }),
      { code: 'ASYNC_REGION', message },
    );
    assert.equal(isLive(made!), false);
  });

  test('parameters, buffers and gradients made inside stay', () => {
    const layer = scope(() => {
      const made = new nn.BatchNorm2d(2);
      made
        .forward(ones([1, 2, 2, 2]))
        .sum()
        .backward();
      made.runningMean = zeros([2]);
      return made;
    });
    assert.deepEqual(
      layer.parameters().map((p) => p.grad?.shape),
      [[2], [2]],
    );
    assert.deepEqual(layer.runningMean?.toTypedArray(), Float32Array.of(0, 0));
    assert.equal(layer.numBatchesTracked?.item(), 1);
  });

  test('using frees at the end of the block', () => {
    let seen: Tensor;
    {
      using t = ones([1]);
      seen = t;
      assert.ok(isLive(t));
    }
    assert.equal(isLive(seen), false);
  });

  test('a handle of a freed slot never reaches the tensor that took it over', () => {
    const first = ones([1]);
    first.dispose();
    const second = zeros([1]);
    assert.throws(() => first.item(), {
      code: 'STALE_HANDLE',
      message: 'the tensor was disposed (or belonged to a scope that has ended)',
    });
    assert.equal(second.item(), 0);
  });
});

describe('memory', () => {
  test('a training loop in scopes leaves nothing behind', () => {
    const model = new nn.Sequential(
      new nn.Conv2d(3, 8, 3, { bias: false }),
      new nn.BatchNorm2d(8),
      new nn.SiLU({ inplace: true }),
      new nn.Flatten(),
      new nn.Linear(32, 2),
    );
    const x = ones([2, 3, 4, 4]);
    const step = () =>
      scope(() => {
        model.zeroGrad();
        model.forward(x).square().mean().backward();
        nn.utils.clipGradNorm_(model.parameters(), 1);
        noGrad(() => {
          for (const parameter of model.parameters()) parameter.sub_(parameter.grad!, { alpha: 0.1 });
        });
      });
    for (let i = 0; i < 3; i++) step();
    memory.collectGarbage();
    const before = memory.stats();
    for (let i = 0; i < 200; i++) step();
    memory.collectGarbage();
    const after = memory.stats();
    assertNothingLeft(before, after);
  });

  test('forgotten tensors are freed by the garbage collector, also in a synchronous loop', () => {
    memory.resetPeak();
    const start = memory.stats().liveBytes;
    const left = growth(() => {
      let sum = 0;
      for (let i = 0; i < 600; i++) sum += zeros([1 << 18]).numel();
      assert.equal(sum, 600 << 18);
    });
    assert.ok(left <= 1, `${left} tensors were not collected`);
    assert.ok(
      memory.stats().peakBytes - start < 300 * 2 ** 20,
      'more than half of the 600 MiB were live at once',
    );
  });

  test('live bytes and their peak are counted', () => {
    memory.collectGarbage();
    const before = memory.stats().liveBytes;
    const block = zeros([1 << 18]);
    assert.ok(memory.stats().liveBytes - before >= 1 << 20);
    memory.resetPeak();
    scope(() => {
      block.add(1);
    });
    assert.ok(memory.stats().peakBytes - memory.stats().liveBytes >= 1 << 20);
    block.dispose();
    assert.ok(memory.stats().liveBytes - before < 1 << 20);
  });

  test('what the garbage collector is told of is memory, not shape: an expanded tensor of 2^61 bytes is small', () => {
    const huge = ones([1], { dtype: 'float64' }).expand(2 ** 50, 2 ** 8);
    assert.deepEqual(huge.shape, [2 ** 50, 2 ** 8]);
    huge.dispose();
  });

  test('allocations beyond the limit are a typed error, and nothing leaks', () => {
    memory.collectGarbage();
    const { liveTensors, liveBytes } = memory.stats();
    native().setMemoryLimit(liveBytes + 2 ** 20);
    try {
      assert.throws(() => scope(() => zeros([1 << 22])), { code: 'OUT_OF_MEMORY' });
    } finally {
      native().setMemoryLimit(0);
    }
    assert.equal(memory.stats().liveTensors, liveTensors);
  });
});
