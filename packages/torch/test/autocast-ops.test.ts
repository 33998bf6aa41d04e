import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import {
  amp,
  autocast,
  cat,
  cuda,
  type DType,
  full,
  nn,
  noGrad,
  ones,
  op,
  randn,
  scope,
  stack,
  type Tensor,
  tensor,
  zeros,
} from '../src/index.ts';
import { CALLS, type Operands, operands } from './autocast-calls.ts';
import { fixture } from './fixture.ts';

type Low = 'bfloat16' | 'float16';
type Row = { op: string; group: string } & Record<string, string>;

const LOWS = ['bfloat16', 'float16'] as const;
const { rows } = fixture<{ rows: Row[] }>('autocast_ops.json');
const onCuda = { skip: cuda.isAvailable() ? false : 'needs a CUDA device' };

const inRegion = <T>(dtype: Low, fn: () => T): T => autocast({ device: 'cpu', dtype }, fn);

/** The table's operands after a cast by hand: the values of `input`, then `to`. */
function castByHand(low: Low, input: 'f32_in' | 'low_in', to: DType): Operands {
  const { t, o, f } = operands(low, input);
  return { t: (...shape) => t(...shape).to(to), o: (...shape) => o(...shape).to(to), f };
}

/** Rows whose call makes its input with other operations first. */
const COMPOSED = [
  'local_response_norm',
  'linalg_inv',
  'linalg_svd',
  'linalg_qr',
  'linalg_cholesky',
  'linalg_solve',
];

/** Rows of which the table says `inside` under autocast, and something else outside. */
const rowsThat = (low: Low, input: 'f32_in' | 'low_in', inside: DType) =>
  rows.filter(
    (row) =>
      row.group !== 'dtype control' &&
      row[`${low}|${input}`] === inside &&
      row[`${low}|${input}|no_autocast`] !== inside &&
      !row.op.endsWith('_mixed') &&
      !COMPOSED.includes(row.op),
  );

for (const low of LOWS) {
  describe(`bits of the results under autocast to ${low} on the CPU`, () => {
    const lowRows = rowsThat(low, 'f32_in', low);
    for (const { op: name } of lowRows) {
      test(`A1: ${name} is ${low}, as with inputs cast by hand`, () => {
        scope(() => {
          const inside = inRegion(low, () => CALLS[name]!(operands(low, 'f32_in')));
          const byHand = CALLS[name]!(castByHand(low, 'f32_in', low));
          assert.equal(inside.dtype, low);
          assert.equal(inside.equal(byHand), true);
          assert.equal(native().autocastEnabled('cpu'), false);
        });
      });
    }

    const wideRows = rowsThat(low, 'low_in', 'float32');
    for (const { op: name } of wideRows) {
      test(`A2: ${name} is float32, as with inputs cast by hand`, () => {
        scope(() => {
          const inside = inRegion(low, () => CALLS[name]!(operands(low, 'low_in')));
          const byHand = CALLS[name]!(castByHand(low, 'low_in', 'float32'));
          assert.equal(inside.dtype, 'float32');
          assert.equal(inside.equal(byHand), true);
        });
      });
    }

    test('A1: the lists are not empty', () => {
      assert.ok(
        lowRows.length >= 18 && wideRows.length >= 25,
        `${lowRows.length} and ${wideRows.length} rows`,
      );
    });
  });
}

describe('functions and methods', () => {
  const [a, b] = [randn([4, 4]), randn([4, 4])];
  const batched = [randn([2, 4, 4]), randn([2, 4, 4])] as const;
  const METHODS: Record<string, [method: () => Tensor, free: () => Tensor]> = {
    matmul: [() => a.matmul(b), () => op('aten::matmul')(a, b)],
    mm: [() => a.mm(b), () => op('aten::mm')(a, b)],
    bmm: [() => batched[0].bmm(batched[1]), () => op('aten::bmm')(...batched)],
    addmm: [() => a.addmm(a, b), () => op('aten::addmm')(a, a, b)],
    linear: [() => nn.functional.linear(a, b), () => op('aten::linear')(a, b)],
    prod: [() => a.prod(), () => op('aten::prod')(a)],
  };
  for (const [name, [method, free]] of Object.entries(METHODS)) {
    test(`A1: ${name} as a method is the operator of that name`, () => {
      const [one, other] = inRegion('bfloat16', () => [method(), free()]);
      assert.equal(one!.dtype, other!.dtype);
      assert.equal(one!.equal(other!), true);
    });
  }
});

describe('promotion', () => {
  for (const low of LOWS) {
    const [narrow, wide] = [ones([2, 2], { dtype: low }), full([2, 2], 1 + 2 ** -12)];
    test(`A3: cat, stack and index_copy of ${low} and float32 are float32 in both orders`, () => {
      const copied = op('aten::index_copy');
      const rowNumbers = tensor([0, 1], { dtype: 'int64' });
      for (const [x, y] of [
        [narrow, wide],
        [wide, narrow],
      ] as const) {
        const results = inRegion(low, () => [cat([x, y]), stack([x, y]), copied(x, 0, rowNumbers, y)]);
        const byHand = [cat([x.float(), y.float()]), stack([x.float(), y.float()]), y.float()];
        results.forEach((result, i) => {
          assert.equal(result.dtype, 'float32');
          assert.equal(result.equal(byHand[i]!), true);
        });
      }
    });

    test(`A4: arithmetic of ${low} and float32 is float32, comparisons are bool`, () => {
      for (const [x, y] of [
        [narrow, wide],
        [wide, narrow],
      ] as const) {
        const results = inRegion(low, () => [x.add(y), x.mul(y), x.div(y), x.sub(y)]);
        assert.deepEqual(
          results.map(({ dtype }) => dtype),
          ['float32', 'float32', 'float32', 'float32'],
        );
        const compared = inRegion(low, () => [x.eq(y), x.lt(y), x.ge(y), x.ne(y)]);
        assert.deepEqual(
          compared.map(({ dtype }) => dtype),
          ['bool', 'bool', 'bool', 'bool'],
        );
        assert.equal(compared[0]!.any().item(), false);
      }
    });
  }

  test('A3: the other 16-bit dtype is refused where dtypes are promoted', () => {
    const half = ones([2], { dtype: 'float16' });
    assert.throws(() => inRegion('bfloat16', () => cat([half, ones([2])])), {
      name: 'TorchError',
      message: 'Unexpected floating ScalarType in at::autocast::prioritize',
    });
  });

  test('A3: on CUDA its own list promotes', onCuda, () => {
    const [narrow, wide] = [ones([3], { device: 'cuda', dtype: 'float16' }), ones([3], { device: 'cuda' })];
    for (const name of ['atan2', 'cross', 'dot']) {
      const each = op(`aten::${name}`);
      const dtypes = autocast({ device: 'cuda' }, () => [each(narrow, wide).dtype, each(wide, narrow).dtype]);
      assert.deepEqual(dtypes, ['float32', 'float32'], name);
    }
  });

  for (const name of ['cat', 'stack'] as const) {
    test(`A8: ${name} of a list through the boxed call: dtype, values, gradients in the dtype of each`, () => {
      const parts = [randn([2, 2]), randn([2, 2]).bfloat16(), randn([2, 2])].map((t) => t.requiresGrad_());
      const join = op(`aten::${name}`);
      const joined = inRegion('bfloat16', () => join(parts));
      const byHand = join(parts.map((part) => part.float()));
      assert.equal(joined.dtype, 'float32');
      assert.equal(joined.equal(byHand), true);
      joined.sum().backward();
      assert.deepEqual(
        parts.map((part) => part.grad!.dtype),
        ['float32', 'bfloat16', 'float32'],
      );
      assert.equal(inRegion('bfloat16', () => join([parts[1], parts[1]])).dtype, 'bfloat16');
    });
  }
});

test('A5: binary_cross_entropy runs in float32 on the CPU', () => {
  const p = full([4], 0.25, { dtype: 'bfloat16' });
  const loss = inRegion('bfloat16', () => nn.functional.binaryCrossEntropy(p, p));
  assert.equal(loss.dtype, 'float32');
  assert.equal(loss.equal(nn.functional.binaryCrossEntropy(p.float(), p.float())), true);
});

describe('what is not eligible', () => {
  test('A6: doubles and integers pass every list untouched', () => {
    const double = randn([4, 4]).double();
    const whole = ones([4, 4], { dtype: 'int64' });
    const results = inRegion('bfloat16', () => [
      double.matmul(double),
      nn.functional.mseLoss(double, double),
      cat([double, double]),
      whole.matmul(whole),
      cat([whole, whole]),
    ]);
    assert.deepEqual(
      results.map(({ dtype }) => dtype),
      ['float64', 'float64', 'float64', 'int64', 'int64'],
    );
    assert.equal(results[0]!.equal(double.matmul(double)), true);
  });

  test('A6: a product of double and half raises', () => {
    const [double, half] = [ones([2, 2], { dtype: 'float64' }), ones([2, 2], { dtype: 'float16' })];
    assert.throws(() => inRegion('float16', () => double.matmul(half)), {
      name: 'TorchError',
      message: 'expected m1 and m2 to have the same dtype, but got: double != c10::Half',
    });
  });

  test('A13: tensors of another device are left alone', () => {
    const elsewhere = zeros([2, 2], { device: 'meta' });
    assert.equal(inRegion('bfloat16', () => elsewhere.matmul(elsewhere)).dtype, 'float32');
  });

  test('A13: CPU tensors are left alone in a CUDA region', onCuda, () => {
    assert.equal(autocast({ device: 'cuda' }, () => ones([2, 2]).matmul(ones([2, 2]))).dtype, 'float32');
  });
});

describe('operations on no list', () => {
  for (const dtype of ['float32', ...LOWS] as const) {
    test(`A13: relu and batch norm keep ${dtype}`, () => {
      const x = randn([2, 3, 4, 4]).to(dtype);
      const norm = new nn.BatchNorm2d(3);
      const results = inRegion('bfloat16', () => [x.relu(), norm.forward(x)]);
      assert.deepEqual(
        results.map((result) => result.dtype),
        [dtype, dtype],
      );
      assert.equal(norm.runningMean!.dtype, 'float32');
    });
  }

  test('A13: in-place operations run in the dtype of what they write to', () => {
    const [half, full32] = [ones([2], { dtype: 'float16' }), ones([2])];
    inRegion('float16', () =>
      noGrad(() => {
        half.add_(full32);
        full32.add_(half);
        half.exp_();
      }),
    );
    assert.deepEqual([half.dtype, full32.dtype], ['float16', 'float32']);
    assert.equal(half.equal(full([2], Math.exp(2)).half()), true);
  });

  test('A13: sum is float32 on CUDA, and keeps its dtype on the CPU', () => {
    const x = ones([4], { dtype: 'bfloat16' });
    assert.equal(inRegion('bfloat16', () => x.sum()).dtype, 'bfloat16');
  });

  test('A13: sum is float32 on CUDA', onCuda, () => {
    const x = ones([4], { dtype: 'float16', device: 'cuda' });
    assert.equal(autocast({ device: 'cuda' }, () => x.sum()).dtype, 'float32');
  });

  test('A13: binary_cross_entropy on request, that is in an island', onCuda, () => {
    const p = full([4], 0.25, { dtype: 'float16', device: 'cuda' });
    const loss = autocast({ device: 'cuda' }, () =>
      autocast({ device: 'cuda', enabled: false }, () =>
        nn.functional.binaryCrossEntropy(p.float(), p.float()),
      ),
    );
    assert.equal(loss.dtype, 'float32');
  });
});

describe('devices, dtypes and targets', () => {
  test('A10: bfloat16 on a GPU without it is an error', {
    skip: cuda.isAvailable() && !cuda.isBf16Supported() ? false : 'needs a CUDA device without bfloat16',
  }, () => {
    assert.throws(() => autocast({ device: 'cuda', dtype: 'bfloat16' }, () => {}), {
      name: 'AmpError',
      code: 'RUNTIME',
      message: 'Current CUDA Device does not support bfloat16. Please switch dtype to float16.',
    });
    assert.equal(
      autocast({ device: 'cuda', dtype: 'bfloat16', enabled: false }, () => 1),
      1,
    );
  });

  const refused = (message: string) => ({ name: 'AmpError', code: 'VALUE', message });

  test('A11: a device that is no string, and those of other backends', () => {
    for (const [device, given] of [
      [0, 'of type number'],
      [{ type: 'cuda' }, 'of type object'],
      ['mps', "'mps'"],
      ['cuda:0', "'cuda:0'"],
    ]) {
      assert.throws(
        () => autocast({ device } as unknown as amp.AutocastOptions, () => {}),
        refused(`autocast: unknown device ${given}; expected 'cpu' or 'cuda'`),
      );
    }
  });

  test('A11: an unknown dtype, with the nearest one', () => {
    const options = (dtype: string) => ({ device: 'cpu', dtype }) as unknown as amp.AutocastOptions;
    assert.throws(
      () => autocast(options('bfloat'), () => {}),
      refused("autocast: unknown dtype 'bfloat'; expected 'bfloat16' or 'float16'; did you mean 'bfloat16'?"),
    );
    assert.throws(
      () => autocast(options('fp16'), () => {}),
      refused("autocast: unknown dtype 'fp16'; expected 'bfloat16' or 'float16'"),
    );
  });

  test('A11: a target that is no function', () => {
    const target = (value: unknown) => value as () => void;
    assert.throws(
      () => autocast({ device: 'cpu' }, target(3)),
      refused('autocast: expected a function to run, got number'),
    );
    assert.throws(
      () => autocast({ device: 'cpu' }, target(undefined)),
      refused('autocast: expected a function to run, got undefined'),
    );
    assert.throws(
      () => amp.autocasted({}, target(null)),
      refused('autocast: expected a function to run, got null'),
    );
  });
});
