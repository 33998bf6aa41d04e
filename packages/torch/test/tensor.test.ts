import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import {
  arange,
  cat,
  type DType,
  einsum,
  ellipsis,
  empty,
  eye,
  full,
  fullLike,
  type IndexElement,
  linspace,
  meshgrid,
  nn,
  ones,
  onesLike,
  rand,
  randint,
  randperm,
  scalarTensor,
  scope,
  slice,
  stack,
  type Tensor,
  TorchError,
  tensor,
  where,
  zeros,
} from '../src/index.ts';
import { numbersOf, type SavedTensor } from './assert-close.ts';
import { fixture } from './fixture.ts';

const golden = fixture<{
  printed: Record<string, string>;
  reads: Record<string, SavedTensor>;
  writes: Record<string, SavedTensor>;
}>('tensor.json');

const long = (values: number[]) => tensor(values, { dtype: 'int64' });

describe('creation', () => {
  test('numbers give float32, booleans bool, bigints int64, typed arrays their own type', () => {
    assert.equal(tensor([1, 2]).dtype, 'float32');
    assert.equal(tensor([true]).dtype, 'bool');
    assert.equal(tensor(3n).dtype, 'int64');
    assert.equal(tensor([]).dtype, 'float32');
    const arrays: [ArrayBufferView, DType][] = [
      [Float32Array.of(1), 'float32'],
      [Float64Array.of(1), 'float64'],
      [Int8Array.of(1), 'int8'],
      [Uint8Array.of(1), 'uint8'],
      [Buffer.of(1), 'uint8'],
      [Uint8ClampedArray.of(1), 'uint8'],
      [Int16Array.of(1), 'int16'],
      [Uint16Array.of(1), 'uint16'],
      [Int32Array.of(1), 'int32'],
      [Uint32Array.of(1), 'uint32'],
      [BigInt64Array.of(1n), 'int64'],
      [BigUint64Array.of(1n), 'uint64'],
    ];
    for (const [array, dtype] of arrays) assert.equal(tensor(array as Float32Array).dtype, dtype);
  });

  test('nesting gives the shape', () => {
    assert.deepEqual(tensor(5).shape, []);
    assert.deepEqual(tensor([[[1], [2]]]).shape, [1, 2, 1]);
    assert.deepEqual(tensor([[], []]).shape, [2, 0]);
    assert.deepEqual(
      tensor(Float32Array.of(1, 2, 3, 4), { shape: [2, 2] })
        .at(1)
        .toTypedArray(),
      Float32Array.of(3, 4),
    );
  });

  test('dtype converts without a loss on the way', () => {
    assert.deepEqual(
      tensor([2 ** 40 + 1], { dtype: 'int64' }).toTypedArray(),
      BigInt64Array.of(2n ** 40n + 1n),
    );
    assert.deepEqual(tensor([0.1], { dtype: 'float64' }).toTypedArray(), Float64Array.of(0.1));
    assert.deepEqual(tensor([0.1], { dtype: 'float16' }).toTypedArray(), Float32Array.of(0.0999755859375));
    assert.deepEqual(tensor([0.1], { dtype: 'bfloat16' }).toTypedArray(), Float32Array.of(0.10009765625));
    assert.deepEqual(tensor(Uint16Array.of(0x3c00), { dtype: 'float16' }).item(), 1);
  });

  test('ragged and mixed data are refused', () => {
    const refused = (data: unknown, message: string) =>
      assert.throws(
        () => tensor(data as number[]),
        (error) => error instanceof TorchError && error.code === 'BAD_ARGUMENT' && error.message === message,
      );
    refused([[1, 2], [3]], 'tensor: expected a list of length 2 at dimension 1, got length 1');
    refused([[1], 2], 'tensor: expected a list of length 1 at dimension 1, got number');
    refused([1, [2]], 'tensor: expected a number, got number[]');
    refused([1, true], 'tensor: expected a number, got boolean');
    refused('text', 'tensor: expected a number, boolean or bigint, got string');
    assert.throws(() => tensor(Float32Array.of(1, 2), { shape: [3] }), {
      code: 'BAD_ARGUMENT',
      message: 'the shape holds 3 elements, the data has 2',
    });
  });

  test('factories', () => {
    assert.deepEqual(numbersOf(zeros([2])), [0, 0]);
    assert.deepEqual(numbersOf(ones([2], { dtype: 'int32' })), [1, 1]);
    assert.deepEqual(numbersOf(full([2], 0.5)), [0.5, 0.5]);
    assert.deepEqual(
      [full([1], 2).dtype, full([1], true).dtype, full([1], 2n).dtype],
      ['float32', 'bool', 'int64'],
    );
    assert.deepEqual(empty([2, 3]).shape, [2, 3]);
    assert.deepEqual(numbersOf(arange(3)), [0, 1, 2]);
    assert.deepEqual(numbersOf(arange(1, 2, 0.25)), [1, 1.25, 1.5, 1.75]);
    assert.deepEqual(
      [arange(3).dtype, arange(0, 1, 0.5).dtype, arange(3, { dtype: 'float32' }).dtype],
      ['int64', 'float32', 'float32'],
    );
    assert.deepEqual(numbersOf(linspace(0, 1, 3)), [0, 0.5, 1]);
    assert.deepEqual(numbersOf(eye(2)), [1, 0, 0, 1]);
    assert.deepEqual(numbersOf(fullLike(ones([2]), 7)), [7, 7]);
    assert.equal(onesLike(ones([1]), { dtype: 'float64' }).dtype, 'float64');
    assert.equal(zeros([1], { requiresGrad: true }).requiresGrad, true);
    assert.equal(scalarTensor(2.5).item(), 2.5);
    assert.deepEqual(numbersOf(randperm(5)).sort(), [0, 1, 2, 3, 4]);
    assert.ok(numbersOf(randint(3, 5, [50])).every((n) => n === 3 || n === 4));
    assert.ok(numbersOf(rand([50])).every((n) => n >= 0 && n < 1));
  });

  test('joining and choosing', () => {
    const [a, b] = [tensor([1, 2]), tensor([3, 4])];
    assert.deepEqual(numbersOf(cat([a, b])), [1, 2, 3, 4]);
    assert.deepEqual(stack([a, b], 1).shape, [2, 2]);
    assert.deepEqual(numbersOf(where(a.gt(1), a, 0)), [0, 2]);
    assert.deepEqual(numbersOf(einsum('i,i->', a, b)), [11]);
    assert.deepEqual(
      meshgrid([a, tensor([5, 6, 7])]).map((grid) => grid.shape),
      [
        [2, 3],
        [2, 3],
      ],
    );
  });
});

describe('conversion', () => {
  test('to a dtype, a format, or nothing new', () => {
    const t = ones([1, 2, 3, 3]);
    assert.equal(t.to('float64').dtype, 'float64');
    assert.equal(t.half().dtype, 'float16');
    assert.equal(t.to({ memoryFormat: 'channels_last' }).isContiguous('channels_last'), true);
    assert.equal(t.to('cpu').isSame(t), true);
    assert.equal(t.to('float32', { copy: true }).sharesStorage(t), false);
    assert.throws(() => t.to('gpu'), {
      code: 'BAD_ARGUMENT',
      message: "aten::to: argument 'device' (Device?) got string 'gpu'",
    });
  });

  test('values come back as plain numbers, nested', async () => {
    assert.deepEqual(
      await tensor([
        [1, 2],
        [3, 4],
      ]).toArray(),
      [
        [1, 2],
        [3, 4],
      ],
    );
    assert.deepEqual(await zeros([2, 0]).toArray(), [[], []]);
    assert.equal(await tensor(true).toArray(), true);
    assert.deepEqual(await long([5]).toArray(), [5]);
    assert.deepEqual(await tensor([2n ** 62n]).toArray(), [2n ** 62n]);
    assert.deepEqual(await arange(8).reshape(2, 2, 2).toArray(), [
      [
        [0, 1],
        [2, 3],
      ],
      [
        [4, 5],
        [6, 7],
      ],
    ]);
  });

  test('typed arrays are copies in row-major order', () => {
    const t = tensor([
      [1, 2],
      [3, 4],
    ]);
    const copy = t.t().toTypedArray() as Float32Array;
    assert.deepEqual(copy, Float32Array.of(1, 3, 2, 4));
    copy[0] = 9;
    assert.equal(t.at(0, 0).item(), 1);
    assert.deepEqual(tensor([true, false]).toTypedArray(), Uint8Array.of(1, 0));
    assert.deepEqual(tensor([0.5]).bfloat16().toTypedArray(), Float32Array.of(0.5));
  });

  test('item needs exactly one element', () => {
    assert.equal(tensor([[4]]).item(), 4);
    assert.equal(tensor([true]).item(), true);
    assert.throws(() => tensor([1, 2]).item(), {
      message: 'a Tensor with 2 elements cannot be converted to Scalar',
    });
  });
});

describe('inspection', () => {
  test('size, stride, storage', () => {
    const t = zeros([2, 3, 4]);
    assert.deepEqual([t.size(0), t.size(-1), t.ndim, t.numel(), t.itemsize], [2, 4, 3, 24, 4]);
    assert.deepEqual(t.stride(), [12, 4, 1]);
    assert.equal(t.at(1).storageOffset(), 12);
    assert.equal(t.at(1).sharesStorage(t), true);
    assert.throws(() => t.size(3), {
      name: 'RangeError',
      message: 'size: dimension 3 is out of range for a tensor of 3 dimensions',
    });
    const before = t.version;
    t.add_(1);
    assert.equal(t.version, before + 1);
  });

  const PRINTED: Record<string, () => Tensor> = {
    integers: () =>
      tensor(
        [
          [1, 2],
          [30, -4],
        ],
        { dtype: 'int64' },
      ),
    wholeFloats: () => tensor([1, 2, -3]),
    floats: () =>
      tensor([
        [0.5, 1.25],
        [-3, 100.125],
      ]),
    scientific: () => tensor([1e-6, 1, 12345]),
    large: () => tensor([1e9, 2]),
    nonFinite: () => tensor([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1.5]),
    nanWhole: () => tensor([Number.NaN, 2]),
    negativeZero: () => tensor([-0, 0]),
    scalar: () => tensor(3.25),
    bools: () => tensor([true, false]),
    empty: () => zeros([0, 3]),
    half: () => tensor([0.5, 1], { dtype: 'float16' }),
    int32: () => tensor([7], { dtype: 'int32' }),
    cube: () => arange(12, { dtype: 'float32' }).reshape(2, 2, 3),
    wrapped: () => arange(40, { dtype: 'float32' }),
    long: () => arange(2000, { dtype: 'float32' }),
    matrix: () => arange(3000, { dtype: 'float32' }).reshape(100, 30).div(7),
    grad: () => tensor([1.5, 2.5], { requiresGrad: true }),
    graph: () => tensor([1.5, 2.5], { requiresGrad: true }).mul(2),
    longRow: () => arange(30, { dtype: 'float32' }).reshape(1, 30).div(3),
  };

  /** PyTorch's suffixes in the words of this library; it also gives the shape of what it abbreviates. */
  const ours = (text: string, t: Tensor) => {
    const renamed = text
      .replace('torch.', '')
      .replaceAll('True', 'true')
      .replaceAll('False', 'false')
      .replace('requires_grad=true', 'requiresGrad=true')
      .replace(/grad_fn=<MulBackward\d>/, `gradFn=<${t.gradFn}>`)
      .replace(/size=\(0, 3\)/, 'shape=[0, 3]');
    return t.numel() > 1000 ? renamed.replace(/\)$/, `, shape=[${t.shape.join(', ')}])`) : renamed;
  };

  for (const [name, make] of Object.entries(PRINTED)) {
    test(`prints like PyTorch: ${name}`, () => {
      const t = make();
      assert.equal(inspect(t).replace(',\n       shape', ', shape'), ours(golden.printed[name]!, t));
    });
  }

  test('a parameter says that it is one', () => {
    assert.equal(
      String(new nn.Parameter(tensor([1.5]))),
      'Parameter containing:\ntensor([1.5000], requiresGrad=true)',
    );
  });

  test('printing leaves nothing behind in a scope', () => {
    scope(() => {
      const t = rand([50, 50]);
      assert.match(String(t), /^tensor\(\[\[/);
    });
  });
});

describe('indexing', () => {
  const x = arange(24).reshape(2, 3, 4);
  const mask = tensor([
    [true, false, true],
    [false, true, false],
  ]);
  const [rows, columns] = [long([1, 0, 1]), long([2, 0, 1])];
  const all = slice();

  const READS: Record<string, IndexElement[]> = {
    'x[0]': [0],
    'x[-1, 1]': [-1, 1],
    'x[:, 1:3]': [all, slice(1, 3)],
    'x[..., 0]': [ellipsis, 0],
    'x[0, ..., ::2]': [0, ellipsis, slice(null, null, 2)],
    'x[:, None, 2]': [all, null, 2],
    'x[mask]': [mask],
    'x[mask, 1]': [mask, 1],
    'x[mask, 1:3]': [mask, slice(1, 3)],
    'x[rows]': [rows],
    'x[rows, columns]': [rows, columns],
    'x[:, columns]': [all, columns],
    'x[rows, :, columns]': [rows, all, columns],
    'x[0, columns, 1:]': [0, columns, slice(1)],
    'x[..., columns]': [ellipsis, columns],
    'x[[0, 1], [1, 2]]': [
      [0, 1],
      [1, 2],
    ],
    'x[True]': [true],
    'x[None, mask]': [null, mask],
    'x[1:0]': [slice(1, 0)],
    'x[mask, columns]': [mask, columns],
    'x[-2:, -3:-1]': [slice(-2), slice(-3, -1)],
    'x[...]': [ellipsis],
  };

  test('covers the fixture', () => {
    assert.deepEqual(Object.keys(READS).sort(), Object.keys(golden.reads).sort());
    assert.deepEqual(Object.keys(WRITES).sort(), Object.keys(golden.writes).sort());
  });

  for (const [name, index] of Object.entries(READS)) {
    test(name, () => {
      const read = x.at(...index);
      assert.deepEqual({ shape: read.shape, data: numbersOf(read) }, golden.reads[name]);
    });
  }

  const WRITES: Record<string, [IndexElement[], Tensor | number]> = {
    'x[0] = -1': [[0], -1],
    'x[:, 1:3] = -2': [[all, slice(1, 3)], -2],
    'x[mask] = -3': [[mask], -3],
    'x[rows, columns] = -4': [[rows, columns], -4],
    'x[..., 0] = v': [[ellipsis, 0], long([100, 200, 300])],
    'x[mask] = v': [[mask], long([9, 8, 7, 6])],
    'x[True] = -5': [[true], -5],
  };

  for (const [name, [index, value]] of Object.entries(WRITES)) {
    test(name, () => {
      const target = x.clone();
      assert.equal(target.put(index, value), target);
      assert.deepEqual({ shape: target.shape, data: numbersOf(target) }, golden.writes[name]);
    });
  }

  test('integers, slices, null and ellipsis give views, tensors copies', () => {
    assert.equal(x.at(0, slice(1), null).sharesStorage(x), true);
    assert.equal(x.at().sharesStorage(x), true);
    assert.equal(x.at(rows).sharesStorage(x), false);
  });

  test('values are converted to the dtype of what is written by slices, and must have it by index', () => {
    const target = zeros([3]);
    target.put([slice(0, 2)], long([5, 6]));
    assert.deepEqual(numbersOf(target), [5, 6, 0]);
    assert.throws(() => target.put([mask.at(0)], long([5, 6])), {
      message:
        'Index put requires the source and destination dtypes match, got Float for the destination and Long for the source.',
    });
  });

  test('gradients flow through reads and writes', () => {
    const source = tensor([1, 2, 3], { requiresGrad: true });
    const target = zeros([3]);
    target.put([slice(0, 2)], source.at(slice(1, 3)));
    target.square().sum().backward();
    assert.deepEqual(numbersOf(source.grad!), [0, 4, 6]);
  });

  test('wrong indices', () => {
    assert.throws(() => x.at(5), {
      code: 'INDEX',
      message: 'select(): index 5 out of range for tensor of size [2, 3, 4] at dimension 0',
    });
    assert.throws(() => x.at(ellipsis, ellipsis), {
      code: 'INDEX',
      message: 'an index can only have a single ellipsis',
    });
    assert.throws(() => x.at('a' as unknown as number), {
      code: 'INDEX',
      message:
        'element 0 of the index is string; integers, slice(), null, ellipsis, booleans, tensors and lists of ' +
        'integers can index a tensor',
    });
  });
});
