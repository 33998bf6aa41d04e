import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Generator,
  manualSeed,
  ones,
  op,
  ops,
  rand,
  scope,
  type Tensor,
  TorchError,
  tensor,
  zeros,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';

const conv2d = op('aten::conv2d');
const x = ones([1, 1, 3, 3]);
const w = ones([1, 1, 1, 1]);

const refused = (code: string, message: string) => (error: unknown) => {
  assert.ok(error instanceof TorchError);
  assert.equal(error.message, message);
  assert.equal(error.code, code);
  return true;
};

describe('arguments', () => {
  test('a wrong type is named with the argument, what it takes and what it got', () => {
    const conv = op('aten::conv2d', '');
    assert.throws(
      () => conv(x, w, null, 'wide'),
      refused('BAD_ARGUMENT', "aten::conv2d: argument 'stride' (int[2]) got string"),
    );
    assert.throws(
      () => conv(x, w, null, [1, 'a']),
      refused('BAD_ARGUMENT', "aten::conv2d: argument 'stride' (int[2]) got (number | string)[]"),
    );
    assert.throws(
      () => conv(x, w, null, 1.5),
      refused('BAD_ARGUMENT', "aten::conv2d: argument 'stride' (int[2]) got number 1.5"),
    );
    assert.throws(
      () => conv(x, 3),
      refused('BAD_ARGUMENT', "aten::conv2d: argument 'weight' (Tensor) got number"),
    );
    assert.throws(
      () => conv(x, null),
      refused('BAD_ARGUMENT', "aten::conv2d: argument 'weight' (Tensor) got null"),
    );
    assert.throws(
      () => conv(x, w, null, x),
      refused('BAD_ARGUMENT', "aten::conv2d: argument 'stride' (int[2]) got Tensor"),
    );
    assert.throws(
      () => conv(x, w, { groups: true }),
      refused('BAD_ARGUMENT', "aten::conv2d: argument 'groups' (int) got boolean"),
    );
  });

  test('missing, unknown, doubled and too many arguments', () => {
    const conv = op('aten::conv2d', '');
    assert.throws(
      () => conv(x),
      refused('BAD_ARGUMENT', "aten::conv2d: argument 'weight' (Tensor) is missing"),
    );
    assert.throws(
      () => conv(x, w, { strides: 2 }),
      refused('BAD_ARGUMENT', "aten::conv2d: unknown argument 'strides'"),
    );
    assert.throws(
      () => conv(x, w, null, { bias: w }),
      refused('BAD_ARGUMENT', "aten::conv2d: argument 'bias' is given twice"),
    );
    assert.throws(
      () => conv(x, w, null, 1, 0, 1, 1, 1),
      refused('BAD_ARGUMENT', 'aten::conv2d: takes at most 7 positional arguments, got 8'),
    );
    assert.throws(
      () => op('aten::cumsum', '')(x, 0, 'float64'),
      refused('BAD_ARGUMENT', 'aten::cumsum: takes at most 2 positional arguments, got 3'),
    );
  });

  test('when no overload fits, each one says why', () => {
    assert.throws(
      () => conv2d(x, w, null, Symbol('s')),
      refused(
        'BAD_ARGUMENT',
        'aten::conv2d: no overload takes these arguments:\n' +
          '  aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], ' +
          'SymInt[2] padding=[0, 0], SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor\n' +
          "    argument 'stride' (int[2]) got symbol\n" +
          '  aten::conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], ' +
          'str padding="valid", SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor\n' +
          "    argument 'stride' (int[2]) got symbol",
      ),
    );
  });

  test('an op that does not exist', () => {
    assert.throws(
      () => op('aten::conv2e')(x),
      refused('NO_SUCH_OP', 'this LibTorch has no operator aten::conv2e'),
    );
    assert.throws(
      () => op('aten::conv2d', 'fancy')(x),
      refused('NO_SUCH_OP', 'this LibTorch has no operator aten::conv2d.fancy'),
    );
  });

  test('LibTorch’s own complaints keep its words, without the C++ backtrace', () => {
    assert.throws(
      () => ones([4]).view(5),
      (error: unknown) => {
        assert.ok(error instanceof TorchError);
        assert.equal(error.code, 'SHAPE');
        assert.equal(error.message, "shape '[5]' is invalid for input of size 4");
        assert.match(error.trace ?? '', /frame #0/);
        return true;
      },
    );
  });

  test('a disposed tensor is named', () => {
    const gone = ones([1]);
    gone.dispose();
    gone.dispose();
    const message = (name: string) =>
      `aten::add: argument '${name}' is a tensor that was disposed (or belonged to a scope that has ended)`;
    assert.throws(() => gone.add(1), refused('STALE_HANDLE', message('self')));
    assert.throws(() => ones([1]).add(gone), refused('STALE_HANDLE', message('other')));
    assert.throws(
      () => ops.cat([ones([1]), gone]),
      refused(
        'STALE_HANDLE',
        "aten::cat: argument 'tensors' is a tensor that was disposed (or belonged to a scope that has ended)",
      ),
    );
    assert.equal(String(gone), 'tensor(<disposed>)');
  });
});

describe('conversion', () => {
  test('defaults, keywords, and a number for a list of fixed length', () => {
    assert.deepEqual(conv2d(x, w).shape, [1, 1, 3, 3]);
    assert.deepEqual(conv2d(x, w, null, 2).shape, [1, 1, 2, 2]);
    assert.deepEqual(conv2d(x, w, { stride: [2, 1] }).shape, [1, 1, 2, 3]);
    assert.deepEqual(conv2d(x, w, undefined, undefined, 1).shape, [1, 1, 5, 5]);
    assert.deepEqual(conv2d(x, w, undefined, { padding: 1, stride: undefined }).shape, [1, 1, 5, 5]);
    assert.equal(ops.sum(ones([2, 2]), [1], true, { dtype: 'float64' }).dtype, 'float64');
    assert.deepEqual(ops.zeros([2], { dtype: 'int32' }).dtype, 'int32');
  });

  test('typed arrays are lists of numbers', () => {
    assert.deepEqual(ops.zeros(Int32Array.of(2, 3) as unknown as number[]).shape, [2, 3]);
  });

  test('whole numbers are integer scalars, others and -0 floating ones', () => {
    const integers = ones([2], { dtype: 'int64' });
    assert.equal(integers.mul(3).dtype, 'int64');
    assert.equal(integers.mul(0.5).dtype, 'float32');
    assert.equal(integers.mul(-0).dtype, 'float32');
    assert.equal(
      integers
        .mul(2n ** 40n)
        .at(0)
        .item(),
      2 ** 40,
    );
  });

  test('integers beyond 2^53 travel as bigints', () => {
    const large = tensor([2n ** 60n]);
    assert.equal(large.at(0).item(), 2n ** 60n);
    assert.deepEqual(large.toTypedArray(), BigInt64Array.of(2n ** 60n));
  });

  test('lists of tensors, with nothing in place of some, and empty ones', () => {
    const t = tensor([
      [1, 2],
      [3, 4],
    ]);
    const column = tensor([1], { dtype: 'int64' });
    assert.deepEqual(numbersOf(ops.index(t, [null, column])), [2, 4]);
    assert.deepEqual(
      ops.unbind(t).map((row) => numbersOf(row)),
      [
        [1, 2],
        [3, 4],
      ],
    );
    assert.throws(() => ops.cat([]), {
      message: 'torch.cat(): expected a non-empty list of Tensors',
    });
  });

  test('optional tensors take null and undefined', () => {
    const mean = zeros([1]);
    const input = tensor([[1], [3]]);
    const [a, b] = [null, undefined].map((nothing) =>
      op('aten::batch_norm')(input, nothing ?? null, null, mean, ones([1]), false, 0.1, 0, true),
    );
    assert.ok(a?.equal(b!));
    assert.deepEqual(conv2d(x, w, undefined).shape, conv2d(x, w, null).shape);
  });

  test('generators', () => {
    const draw = () => numbersOf(ops.rand([3], { generator: new Generator().manualSeed(5) }));
    assert.deepEqual(draw(), draw());
    manualSeed(5);
    assert.deepEqual(numbersOf(rand([3])), draw());
  });

  test('plain results: numbers, booleans, dtypes, several at once, none', () => {
    assert.equal(ops.equal(x, x), true);
    assert.equal(ops.result_type(ones([1]), ones([1], { dtype: 'float64' })), 'float64');
    assert.equal(ops.item(tensor(2.5)), 2.5);
    const [values, indices] = ops.max(tensor([[1, 5, 2]]), 1);
    assert.deepEqual([numbersOf(values), numbersOf(indices)], [[5], [1]]);
    assert.equal(ops._foreach_mul_([ones([1])], 2), undefined);
  });

  test('a result that LibTorch leaves undefined is null', () => {
    const [gradInput, gradWeight] = ops.convolution_backward(
      x,
      x,
      w,
      [0],
      [1, 1],
      [0, 0],
      [1, 1],
      false,
      [0, 0],
      1,
      [false, true, false],
    ) as [Tensor | null, Tensor | null, Tensor | null];
    assert.equal(gradInput, null);
    assert.deepEqual(numbersOf(gradWeight!), [9]);
  });
});

describe('overloads', () => {
  test('tensor, number, and arity choose', () => {
    const t = tensor([
      [1, 5],
      [7, 3],
    ]);
    assert.deepEqual(numbersOf(t.max()), [7]);
    assert.deepEqual(t.max(1).map(numbersOf), [
      [5, 7],
      [1, 0],
    ]);
    assert.deepEqual(
      numbersOf(
        t.max(
          tensor([
            [2, 2],
            [9, 1],
          ]),
        ),
      ),
      [2, 5, 9, 3],
    );
    assert.deepEqual(numbersOf(ops.pow(2, tensor([3]))), [8]);
    assert.deepEqual(numbersOf(ops.clamp(t, null, 4)), [1, 4, 4, 3]);
    assert.deepEqual(numbersOf(ops.clamp(t, tensor([2, 4]))), [2, 5, 7, 4]);
    assert.deepEqual(ops.arange(2, 8, 3).shape, [2]);
    assert.deepEqual(conv2d(x, ones([1, 1, 3, 3]), null, 1, 'same').shape, [1, 1, 3, 3]);
  });

  test('a keyword that only one overload knows chooses it', () => {
    const generator = new Generator().manualSeed(1);
    assert.deepEqual(ops.randperm(3, { generator }).shape, [3]);
    assert.deepEqual(numbersOf(tensor([7]).div(2, { roundingMode: 'floor' })), [3]);
  });

  test('one overload asked for by name takes nothing else', () => {
    assert.throws(
      () => op('aten::add', 'Tensor')(x, 1),
      refused('BAD_ARGUMENT', "aten::add: argument 'other' (Tensor) got number"),
    );
  });
});

describe('in place and out', () => {
  test('the result is the argument’s own object', () => {
    const t = tensor([1, 2]);
    assert.equal(t.add_(t), t);
    assert.equal(t.relu_(), t);
    assert.equal(t.mul_(2), t);
    assert.equal(op('aten::mul_')(t, 2, undefined), t);
    const out = zeros([2]);
    assert.equal(op('aten::add')(t, t, { out }), out);
    assert.deepEqual(numbersOf(out), [16, 32]);
  });

  test('several out arguments come back in order', () => {
    const values = zeros([1]);
    const indices = zeros([1], { dtype: 'int64' });
    const result = op<(...args: unknown[]) => Tensor[]>('aten::max')(tensor([[1, 4]]), 1, false, {
      max: values,
      max_values: indices,
    });
    assert.equal(result[0], values);
    assert.equal(result[1], indices);
    assert.deepEqual([numbersOf(values), numbersOf(indices)], [[4], [1]]);
  });

  test('a result that is an argument adds no tensor to a scope', () => {
    scope(() => {
      const t = ones([1]);
      t.add_(1);
      assert.equal(t.item(), 2);
    });
  });
});
