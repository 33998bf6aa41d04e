import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { exponentHistogram, magnitudes, NOT_FINITE, unscaleMagnitudes_ } from '../src/amp/magnitude.ts';
import {
  cuda,
  type DType,
  full,
  noGrad,
  op,
  randn,
  slice,
  type Tensor,
  tensor,
  zeros,
} from '../src/index.ts';

const DTYPES: readonly DType[] = ['float32', 'float16', 'bfloat16', 'float64'];
const DEVICES = cuda.isAvailable() ? ['cpu', 'cuda'] : ['cpu'];

/** The loops of the device, and the list operations that serve every other device. */
const FORMS = {
  loops: { unscale_: unscaleMagnitudes_, magnitudes, exponentHistogram },
  'list operations': {
    unscale_: op<typeof unscaleMagnitudes_>('mezzo::unscale_', 'lists'),
    magnitudes: op<typeof magnitudes>('mezzo::magnitudes', 'lists'),
    exponentHistogram: op<typeof exponentHistogram>('mezzo::exponent_histogram', 'lists'),
  },
};

/** Shapes that fill vectors, end within one, and hold nothing. */
const SIZES = [0, 1, 7, 8, 15, 16, 17, 63, 1000];

const SPECIAL = [
  0,
  -0,
  1,
  -1,
  2 ** -24,
  -(2 ** -140),
  2 ** -149,
  65504,
  -65504,
  3.3e38,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
];

const LAYOUTS: Record<string, (t: Tensor) => Tensor> = {
  contiguous: (t) => t,
  channels_last: (t) => t.contiguous({ memoryFormat: 'channels_last' }),
  transposed: (t) => t.transpose(0, 3),
  sliced: (t) => t.at(slice(), slice(), slice(), slice(1, 9, 2)),
};

const bits = (t: Tensor) => Array.from(t.cpu().toTypedArray() as Int32Array);

/** Bits of the largest magnitude by plain operations on float64 numbers; NaN above infinity. */
function expected(t: Tensor): number {
  const values = Array.from(t.cpu().double().toTypedArray() as Float64Array, Math.abs);
  if (values.some(Number.isNaN)) return Number.NaN;
  const largest = values.reduce((a, b) => Math.max(a, b), 0);
  const narrow = largest === Number.POSITIVE_INFINITY ? largest : Math.min(largest, 3.4028234663852886e38);
  return new Int32Array(Float32Array.of(narrow).buffer)[0]!;
}

function assertMagnitudes(actual: Tensor, tensors: readonly Tensor[]): void {
  bits(actual).forEach((value, i) => {
    const wanted = expected(tensors[i]!);
    if (Number.isNaN(wanted)) assert.ok(value > NOT_FINITE, `tensor ${i}: NaN came out as ${value}`);
    else assert.equal(value, wanted, `tensor ${i}`);
  });
}

const same = (a: Tensor, b: Tensor) => {
  const [x, y] = [a, b].map((t) => t.cpu().double().toTypedArray() as Float64Array) as [
    Float64Array,
    Float64Array,
  ];
  assert.deepEqual(x, y);
};

for (const device of DEVICES) {
  for (const [form, { unscale_, magnitudes, exponentHistogram }] of Object.entries(FORMS)) {
    describe(`magnitudes by ${form} on ${device}`, () => {
      for (const dtype of DTYPES) {
        test(`${dtype}: every special number alone, at each place of a vector`, () => {
          const tensors = SPECIAL.flatMap((value) =>
            [0, 5, 16].map((at) => {
              const t = zeros([17], { dtype: 'float64' });
              t.put([at], value);
              return t.to({ device, dtype });
            }),
          );
          assertMagnitudes(magnitudes(tensors), tensors);
        });

        test(`${dtype}: multiplied as plain operations do, largest after the product`, () => {
          const tensors = SIZES.map((size) => randn([size]).mul(100).to({ device, dtype }));
          tensors.push(tensor(SPECIAL, { dtype: 'float64' }).to({ device, dtype }));
          for (const factor of [1, 0.25, 1 / 3, 2 ** -16, 1e30, 2 ** 120]) {
            const inverse = full([], factor, { device });
            const wanted = tensors.map((t) => t.mul(inverse));
            const grads = tensors.map((t) => t.clone());
            const found = zeros([grads.length], { dtype: 'int32', device });
            unscale_(grads, inverse, found);
            grads.forEach((grad, i) => {
              same(grad, wanted[i]!);
            });
            assertMagnitudes(found, wanted);
          }
        });

        test(`${dtype}: any strides`, () => {
          for (const [layout, arrange] of Object.entries(LAYOUTS)) {
            const grad = arrange(randn([2, 3, 4, 10]).to({ device, dtype }));
            const strides = grad.stride();
            const wanted = grad.mul(0.125);
            const found = zeros([1], { dtype: 'int32', device });
            unscale_([grad], full([], 0.125, { device }), found);
            same(grad, wanted);
            assert.deepEqual(grad.stride(), strides, layout);
            assertMagnitudes(found, [wanted]);
            assertMagnitudes(magnitudes([grad]), [wanted]);
          }
        });

        test(`${dtype}: histogram of exponents`, () => {
          const t = tensor([0, 1, 1.5, -2, 2 ** -20, 65504, Number.POSITIVE_INFINITY, Number.NaN], {
            dtype: 'float64',
          }).to({ device, dtype });
          const rows = exponentHistogram([t, zeros([0], { dtype, device })]);
          assert.deepEqual(rows.shape, [2, 256]);
          const counts = bits(rows);
          const seen = counts.slice(0, 256).flatMap((count, e) => (count > 0 ? [[e, count]] : []));
          // bfloat16 rounds 65504 up to 65536.
          const high = dtype === 'bfloat16' ? 143 : 142;
          assert.deepEqual(seen, [
            [0, 1],
            [107, 1],
            [127, 2],
            [128, 1],
            [high, 1],
            [255, 2],
          ]);
          assert.ok(counts.slice(256).every((count) => count === 0));
        });
      }

      test('a slice changes nothing beside it', () => {
        const whole = full([4, 12], 8, { device });
        const found = zeros([1], { dtype: 'int32', device });
        unscale_([whole.at(slice(), slice(1, 12, 2))], full([], 0.5, { device }), found);
        const wanted = full([4, 12], 8, { device });
        wanted.put([slice(), slice(1, 12, 2)], 4);
        same(whole, wanted);
      });

      test('several dtypes in one call; float64 beyond float32 stays finite', () => {
        const tensors = [
          full([3], 1e300, { dtype: 'float64', device }),
          full([2], 3, { dtype: 'bfloat16', device }),
          zeros([0], { device }),
          full([2], -7, { device }),
        ];
        assertMagnitudes(magnitudes(tensors), tensors);
        assert.equal(bits(magnitudes(tensors))[0], NOT_FINITE - 1);
      });

      test('a sparse gradient by its values', () => {
        const dense = tensor([
          [0, 0],
          [3, -8],
          [0, 0],
        ]).to(device);
        const sparse = op('aten::to_sparse', '')(dense);
        const found = zeros([1], { dtype: 'int32', device });
        noGrad(() => unscale_([sparse], full([], 0.5, { device }), found));
        same(op('aten::to_dense')(sparse), dense.mul(0.5));
        assert.equal(bits(found)[0], expected(full([1], 4)));
      });

      test('nothing at all', () => {
        assert.deepEqual(magnitudes([]).shape, [0]);
        assert.deepEqual(exponentHistogram([]).shape, [0, 256]);
      });
    });
  }
}

// This file once more on older processors' loops, as LibTorch's own variable chooses them.
const INNER = process.env.MEZZO_TEST_INNER !== undefined;
for (const capability of INNER ? [] : ['avx2', 'default']) {
  test(`the loops for ATEN_CPU_CAPABILITY=${capability}`, () => {
    const env: NodeJS.ProcessEnv = { ...process.env, ATEN_CPU_CAPABILITY: capability, MEZZO_TEST_INNER: '1' };
    delete env.NODE_TEST_CONTEXT;
    const run = spawnSync(process.execPath, [import.meta.filename], { env, encoding: 'utf8' });
    assert.equal(run.status, 0, run.stdout + run.stderr);
  });
}

test('integers have no magnitude', () => {
  assert.throws(() => magnitudes([zeros([2], { dtype: 'int64' })]), {
    name: 'TorchError',
    code: 'NOT_IMPLEMENTED',
    message: 'magnitudes are not defined for Long',
  });
});

test('magnitudes go where they fit', () => {
  assert.throws(() => unscaleMagnitudes_([zeros([2])], full([], 1), zeros([2], { dtype: 'int32' })), {
    name: 'TorchError',
    message: 'magnitudes must be a contiguous int32 tensor of shape [1]',
  });
});

test('a gradient that was changed is no longer what backward saved', () => {
  const x = full([2], 3).requiresGrad_();
  const y = x.mul(2);
  const z = y.mul(y);
  noGrad(() => unscaleMagnitudes_([y], full([], 0.5), zeros([1], { dtype: 'int32' })));
  assert.throws(() => z.sum().backward(), /modified by an inplace operation/);
});
