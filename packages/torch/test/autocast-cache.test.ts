import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  autocast,
  enableGrad,
  inferenceMode,
  isGradEnabled,
  memory,
  nn,
  noGrad,
  ones,
  op,
  ops,
  randn,
  scope,
  type Tensor,
  tensor,
} from '../src/index.ts';
import { assertNothingLeft } from './assert-memory.ts';

const { Parameter } = nn;

const bf16 = <T>(fn: () => T): T => autocast({ device: 'cpu' }, fn);
const matrix = () => randn([8, 8]);

/** Bytes that stay while a weight is used three times in a region, and after its end. */
function bytesKept(cache: boolean): [inside: number, after: number] {
  const weight = new Parameter(randn([64, 64]));
  memory.collectGarbage();
  return scope(() => {
    const x = randn([64, 64]);
    const before = memory.stats().liveBytes;
    const inside = autocast({ device: 'cpu', cache }, () => {
      scope(() => {
        for (let i = 0; i < 3; i++) x.matmul(weight);
      });
      return memory.stats().liveBytes - before;
    });
    return [inside, memory.stats().liveBytes - before];
  });
}

test('C1: one cast of a weight is kept until the region ends, none when the cache is off', () => {
  const [inside, after] = bytesKept(true);
  const oneCast = 64 * 64 * 2;
  assert.ok(inside >= oneCast && inside < 2 * oneCast, `${inside} bytes`);
  assert.equal(after, 0);
  assert.deepEqual(bytesKept(false), [0, 0]);
});

test('C1: the casts outlive an inner region and go with the outermost', () => {
  const weight = new Parameter(randn([64, 64]));
  memory.collectGarbage();
  scope(() => {
    const x = randn([64, 64]);
    const before = memory.stats().liveBytes;
    const use = () => scope(() => void x.matmul(weight));
    bf16(() => {
      bf16(use);
      const kept = memory.stats().liveBytes - before;
      assert.ok(kept >= 64 * 64 * 2, `${kept} bytes`);
      use();
      assert.equal(memory.stats().liveBytes - before, kept);
    });
    assert.equal(memory.stats().liveBytes, before);
  });
});

test('C1: several uses of one cached weight add up in its gradient', () => {
  const weight = new Parameter(ones([2, 2]));
  const loss = bf16(() => {
    const x = tensor([[1, 2]]);
    return x.matmul(weight).add(x.matmul(weight)).add(x.matmul(weight)).float().sum();
  });
  loss.backward();
  assert.deepEqual(Array.from(weight.grad!.toTypedArray() as Float32Array), [3, 3, 6, 6]);
});

test('C2: repeated calls without gradients do not grow memory', () => {
  const weight = new Parameter(matrix());
  const x = matrix();
  const round = () =>
    noGrad(() =>
      bf16(() => {
        scope(() => {
          for (let i = 0; i < 4; i++) x.matmul(weight);
        });
      }),
    );
  round();
  memory.collectGarbage();
  const before = memory.stats();
  for (let i = 0; i < 20; i++) round();
  assertNothingLeft(before, memory.stats());
});

describe('a weight first used without gradients', () => {
  const byHand = (x: Tensor, uses: number) =>
    x.bfloat16().float().sum([0]).unsqueeze(1).expand([8, 8]).mul(uses);

  function assertGradient(weight: Tensor, expected: Tensor): void {
    const error = weight.grad!.sub(expected).abs().max().item() as number;
    assert.ok(error < 0.05 * (expected.abs().max().item() as number), `off by ${error}`);
  }

  for (const [name, without] of Object.entries({ noGrad, inferenceMode })) {
    test(`C3: ${name} and gradients, four times in turn in one region`, () => {
      const weight = new Parameter(matrix());
      const x = matrix();
      const loss = bf16(() => {
        let total: Tensor | undefined;
        for (let i = 0; i < 4; i++) {
          assert.equal(
            without(() => x.matmul(weight).requiresGrad),
            false,
          );
          const out = x.matmul(weight);
          assert.notEqual(out.gradFn, null);
          const term = out.float().sum();
          total = total === undefined ? term : total.add(term);
        }
        return total!;
      });
      assert.equal(isGradEnabled(), true);
      loss.backward();
      assertGradient(weight, byHand(x, 4));
    });

    test(`C3: a region inside ${name} leaves nothing for the next region`, () => {
      const weight = new Parameter(matrix());
      const x = matrix();
      without(() => bf16(() => void x.matmul(weight)));
      bf16(() => x.matmul(weight).float().sum()).backward();
      assertGradient(weight, byHand(x, 1));
    });
  }

  test('C3: enableGrad inside noGrad inside a region', () => {
    const weight = new Parameter(matrix());
    const x = matrix();
    const loss = bf16(() =>
      noGrad(() => {
        x.matmul(weight);
        return enableGrad(() => x.matmul(weight).float().sum());
      }),
    );
    loss.backward();
    assertGradient(weight, byHand(x, 1));
  });

  test('C3: three passes through one cached cast all reach the weight', () => {
    const weight = new Parameter(matrix());
    const x = matrix();
    const losses = bf16(() => [1, 2, 3].map((factor) => x.matmul(weight).float().sum().mul(factor)));
    losses.forEach((loss, i) => {
      loss.backward({ retainGraph: i < 2 });
    });
    assertGradient(weight, byHand(x, 6));
  });
});

describe('a weight that changes', () => {
  /** Sum of ones · weight, 4 times the value that fills the weight. */
  const use = (weight: Tensor) => ones([2, 2]).matmul(weight).sum().item();

  test('C4: between two regions is cast anew', () => {
    const weight = new Parameter(ones([2, 2]));
    assert.equal(
      bf16(() => use(weight)),
      8,
    );
    noGrad(() => weight.mul_(3));
    assert.equal(
      bf16(() => use(weight)),
      24,
    );
  });

  const setData = op<(self: Tensor, data: Tensor) => void>('aten::set_data');
  const EDITS: Record<string, (weight: Tensor) => void> = {
    'in place': (weight) => void noGrad(() => weight.mul_(3)),
    'through a detached tensor': (weight) => void weight.detach().mul_(3),
    'through a view': (weight) => void noGrad(() => weight.view([4]).mul_(3)),
    'by one element': (weight) => void weight.detach().put([0, 0], 9),
    'by a list operation': (weight) => void noGrad(() => ops._foreach_mul_([weight], 3)),
    'by an out argument': (weight) =>
      void noGrad(() => op('aten::mul', 'out')(weight.clone(), ones([2, 2]).mul(3), { out: weight })),
    'by a copy, as an average or a rolled back step does': (weight) =>
      void noGrad(() => weight.copy_(ones([2, 2]).mul(3))),
    'by other data': (weight) => setData(weight, ones([2, 2]).mul(3)),
  };
  for (const [name, edit] of Object.entries(EDITS)) {
    test(`C4: inside one region, ${name}`, () => {
      const weight = new Parameter(ones([2, 2]));
      const other = new Parameter(ones([2, 2]).mul(2));
      bf16(() => {
        assert.deepEqual([use(weight), use(other)], [8, 16]);
        edit(weight);
        const edited = noGrad(() => ones([2, 2]).matmul(weight.detach()).sum().item());
        assert.notEqual(edited, 8);
        assert.deepEqual([use(weight), use(other)], [edited, 16]);
        edit(weight);
        assert.equal(
          use(weight),
          noGrad(() => ones([2, 2]).matmul(weight.detach()).sum().item()),
        );
      });
    });
  }

  test('C4: in a list of tensors that one operation takes', () => {
    const weight = new Parameter(ones([2, 2]));
    const product = () =>
      op('aten::einsum')('ij,jk->ik', [ones([2, 2]), weight])
        .sum()
        .item();
    bf16(() => {
      assert.equal(product(), 8);
      noGrad(() => weight.mul_(3));
      assert.equal(product(), 24);
    });
  });

  test('C4: an evaluation, an edit and a training pass in one region; the gradient is that of the new weight', () => {
    const weight = new Parameter(ones([2, 2]));
    const loss = bf16(() => {
      noGrad(() => use(weight));
      noGrad(() => weight.mul_(3));
      const y = ones([2, 2]).matmul(weight);
      return y.float().square().sum();
    });
    assert.equal(loss.item(), 4 * 36);
    loss.backward();
    assert.deepEqual(Array.from(weight.grad!.toTypedArray() as Float32Array), [24, 24, 24, 24]);
  });
});
