import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { unscale_, unscaleByForeach_, updateScale_, updateScaleByOps_ } from '../src/amp/unscale.ts';
import { unscaleGrads } from '../src/amp/unscale-grads.ts';
import {
  cuda,
  type DType,
  full,
  GradScaler,
  nn,
  op,
  optim,
  randn,
  slice,
  type Tensor,
  tensor,
  zeros,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';

const { Parameter } = nn;

const int32 = (value: number) => full([], value, { dtype: 'int32' });

for (const [kind, update_] of Object.entries({
  kernel: updateScale_,
  'plain operations': updateScaleByOps_,
})) {
  describe(`scale update by ${kind}`, () => {
    test('K1: grows at the interval, backs off on overflow, resets the tracker', () => {
      const [scale, tracker] = [full([], 4), int32(0)];
      const trace = [];
      for (const found of [0, 0, 1]) {
        update_(scale, tracker, full([], found), 2, 0.25, 2);
        trace.push([scale.item(), tracker.item()]);
      }
      assert.deepEqual(trace, [
        [4, 1],
        [8, 0],
        [2, 0],
      ]);
    });

    test('K2: never grows to infinity', () => {
      const [scale, tracker] = [full([], 1e38), int32(0)];
      for (let i = 0; i < 3; i++) update_(scale, tracker, full([], 0), 16, 0.5, 1);
      assert.equal(scale.item(), Math.fround(1e38));
      assert.equal(tracker.item(), 0);
    });

    test('K3: the sequence clean, overflow, clean, overflow with interval 2', () => {
      const [scale, tracker] = [full([], 4), int32(0)];
      const trace = [];
      for (const found of [0, 1, 0, 1]) {
        update_(scale, tracker, full([], found), 2, 0.5, 2);
        trace.push([scale.item(), tracker.item()]);
      }
      assert.deepEqual(trace, [
        [4, 1],
        [2, 0],
        [2, 1],
        [1, 0],
      ]);
    });

    test('falls through subnormals to 0, with nothing to stop it', () => {
      const [scale, tracker] = [full([], 2 ** -148), int32(5)];
      update_(scale, tracker, full([], 1), 2, 0.5, 10);
      assert.equal(scale.item(), 2 ** -149);
      for (let i = 0; i < 2; i++) update_(scale, tracker, full([], 3), 2, 0.25, 10);
      assert.deepEqual([scale.item(), tracker.item()], [0, 0]);
    });
  });
}

const LAYOUTS: Record<string, (t: Tensor) => Tensor> = {
  contiguous: (t) => t.clone(),
  transposed: (t) => t.transpose(0, 1).contiguous().transpose(0, 1),
  sliced: (t) => {
    const view = zeros([4, 12], { dtype: t.dtype }).at(slice(), slice(1, 12, 2));
    view.copy_(t);
    return view;
  },
};

const MIXES = [
  ['contiguous'],
  ['transposed'],
  ['sliced'],
  ['contiguous', 'transposed'],
  ['contiguous', 'sliced'],
  ['transposed', 'sliced'],
  ['contiguous', 'transposed', 'sliced'],
  ['sliced', 'contiguous', 'transposed'],
  ['transposed', 'transposed'],
  ['sliced', 'sliced', 'sliced'],
];

for (const [kind, each] of Object.entries({ kernel: unscale_, 'list operations': unscaleByForeach_ })) {
  describe(`unscale by ${kind}`, () => {
    for (const mix of MIXES) {
      for (const bad of [undefined, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]) {
        test(`U1: ${mix.join(', ')}; ${bad === undefined ? 'all finite' : `one ${bad}`}`, () => {
          const plain = mix.map(() => randn([4, 6]));
          const grads = plain.map((t, i) => LAYOUTS[mix[i]!]!(t));
          if (bad !== undefined) grads.at(-1)!.put([2, 3], bad);
          const found = full([], 0);
          each(grads, found, full([], 0.25));
          assert.equal(found.item(), bad === undefined ? 0 : 1);
          plain.forEach((t, i) => {
            if (bad !== undefined && i === plain.length - 1) return;
            assert.equal(grads[i]!.equal(t.mul(0.25)), true);
          });
        });
      }
    }

    test('U1: never clears a flag, takes empty lists and empty tensors', () => {
      const found = full([], 1);
      each([zeros([3])], found, full([], 0.5));
      assert.equal(found.item(), 1);
      const clear = full([], 0);
      each([], clear, full([], 0.5));
      each([zeros([0])], clear, full([], 0.5));
      assert.equal(clear.item(), 0);
    });

    test('U5: fp16 and bf16', () => {
      for (const dtype of ['float16', 'bfloat16'] as const) {
        const grad = tensor([1, 65280], { dtype });
        const found = full([], 0);
        each([grad], found, full([], 0.5));
        assert.deepEqual([numbersOf(grad), found.item()], [[0.5, 32640], 0]);
        each([tensor([1, Number.POSITIVE_INFINITY], { dtype })], found, full([], 0.5));
        assert.equal(found.item(), 1);
      }
    });
  });
}

test('U2: one kernel call takes one dtype and one device', {
  skip: cuda.isAvailable() ? false : 'needs a CUDA device',
}, () => {
  const kernel_ = op<(...args: unknown[]) => void>('aten::_amp_foreach_non_finite_check_and_unscale_', '');
  const mixed = [zeros([2], { device: 'cuda' }), zeros([2], { dtype: 'float64', device: 'cuda' })];
  const [found, inverse] = [zeros([], { device: 'cuda' }), zeros([], { device: 'cuda' })];
  assert.throws(() => kernel_(mixed, found, inverse), { name: 'TorchError' });
  const apart = [zeros([2], { device: 'cuda' }), zeros([2])];
  assert.throws(() => kernel_(apart, found, inverse), { name: 'TorchError' });
});

test('U2: the flag is float32', () => {
  const kernel_ = op<(...args: unknown[]) => void>('aten::_amp_foreach_non_finite_check_and_unscale_', '');
  assert.throws(() => kernel_([zeros([2])], zeros([], { dtype: 'float64' }), full([], 0.5)), {
    name: 'TorchError',
    message: 'found_inf must be a float tensor.',
  });
});

test('U3: gradients of several dtypes and layouts: an infinity is found at every position', () => {
  const kinds: [string, DType][] = Object.keys(LAYOUTS).flatMap((layout) =>
    (['float32', 'float64', 'bfloat16'] as const).map((dtype): [string, DType] => [layout, dtype]),
  );
  for (let broken = -1; broken < kinds.length; broken++) {
    const params = kinds.map(([layout, dtype], i) => {
      const param = new Parameter(zeros([4, 6], { dtype }));
      param.grad = LAYOUTS[layout]!(full([4, 6], 8, { dtype }));
      if (i === broken) param.grad.put([1, 1], Number.POSITIVE_INFINITY);
      return param;
    });
    const optimizer = new optim.SGD(params, { lr: 1 });
    const scaler = new GradScaler({ device: 'cpu', initScale: 4 });
    scaler.scale(zeros([]));
    scaler.unscale_(optimizer);
    params.forEach((param, i) => {
      if (i !== broken) assert.equal(param.grad!.equal(full([4, 6], 2, { dtype: param.dtype })), true);
    });
    scaler.step(optimizer);
    assert.equal(scaler.skipped(optimizer), broken >= 0);
    params.forEach((param) => {
      assert.equal(param.equal(full([4, 6], broken >= 0 ? 0 : -2, { dtype: param.dtype })), true);
    });
  }
});

test('U3: gradients on two devices: the flag of the device that holds the infinity, and no other', {
  skip: cuda.isAvailable() ? false : 'needs a CUDA device',
}, () => {
  const kinds = Object.keys(LAYOUTS).flatMap((layout) =>
    (['cpu', 'cuda:0'] as const).flatMap((device) =>
      (['float32', 'float16', 'bfloat16'] as const).map((dtype) => ({ layout, device, dtype })),
    ),
  );
  for (let broken = 0; broken < kinds.length; broken++) {
    const params = kinds.map(({ layout, device, dtype }, i) => {
      const param = new Parameter(zeros([4, 6], { dtype, device }));
      const grad = full([4, 6], 8, { dtype });
      if (i === broken) grad.put([1, 1], Number.POSITIVE_INFINITY);
      param.grad = LAYOUTS[layout]!(grad).to(device);
      return param;
    });
    const flags = unscaleGrads(new optim.SGD(params), () => full([], 0.25, { device: 'cuda' }), true);
    const expected = ['cpu', 'cuda:0'].map((device) => (kinds[broken]!.device === device ? 1 : 0));
    assert.deepEqual([flags.get('cpu')!.item(), flags.get('cuda:0')!.item()], expected);
    params.forEach((param, i) => {
      if (i === broken) return;
      assert.equal(param.grad!.equal(full([4, 6], 2, { dtype: param.dtype, device: param.device })), true);
    });
  }
});

describe('sparse gradients', () => {
  const sparse = op('aten::sparse_coo_tensor', 'indices_size');
  const toDense = op('aten::to_dense');

  function withSparse(rows: number[], values: number[], dtype: DType) {
    const param = new Parameter(zeros([4], { dtype }));
    param.grad = sparse(tensor([rows], { dtype: 'int64' }), tensor(values, { dtype }), [4], {
      is_coalesced: false,
    });
    const optimizer = new optim.SGD([param], { lr: 1 });
    const scaler = new GradScaler({ device: 'cpu', initScale: 4 });
    scaler.scale(zeros([]));
    return { param, optimizer, scaler };
  }

  test('U4: float32 values are unscaled and the step is taken', () => {
    const { param, optimizer, scaler } = withSparse([0, 2], [8, 16], 'float32');
    scaler.unscale_(optimizer);
    assert.deepEqual(numbersOf(toDense(param.grad)), [2, 0, 4, 0]);
    scaler.step(optimizer);
    assert.deepEqual(numbersOf(param), [-2, 0, -4, 0]);
  });

  for (const bad of [Number.POSITIVE_INFINITY, Number.NaN]) {
    test(`U4: a ${bad} among them is found`, () => {
      const { param, optimizer, scaler } = withSparse([0, 2], [8, bad], 'float32');
      scaler.step(optimizer);
      assert.equal(scaler.skipped(optimizer), true);
      assert.deepEqual(numbersOf(param), [0, 0, 0, 0]);
    });
  }

  test('U4: fp16 values of one index are summed first, so that their overflow counts', () => {
    const { optimizer, scaler } = withSparse([1, 1], [64000, 64000], 'float16');
    class Fused extends optim.SGD {
      override get stepSupportsAmpScaling(): boolean {
        return true;
      }

      override step<R = undefined>(): R | undefined {
        overflow = this.foundInf!.item() as number;
        return undefined;
      }
    }
    let overflow = -1;
    scaler.step(new Fused(optimizer.paramGroups[0]!.params));
    assert.equal(overflow, 1);
  });

  for (const [bad, flag] of [
    [4, 0],
    [Number.POSITIVE_INFINITY, 1],
    [Number.NaN, 1],
  ] as const) {
    test(`U4: fp16 values are summed and unscaled; one of ${bad} gives the flag ${flag}`, () => {
      const { param, optimizer } = withSparse([2, 2, 3], [8, 16, bad], 'float16');
      const flags = unscaleGrads(optimizer, () => full([], 0.25), true);
      assert.equal(flags.get('cpu')!.item(), flag);
      assert.deepEqual(numbersOf(toDense(param.grad)), [0, 0, 6, bad / 4]);
    });
  }

  test('U4: Adam refuses them as in PyTorch', () => {
    const { param } = withSparse([0], [1], 'float32');
    assert.throws(() => new optim.Adam([param]).step(), {
      name: 'OptimizerError',
      code: 'RUNTIME',
      message: 'Adam does not support sparse gradients, please consider SparseAdam instead',
    });
  });
});

test('U5: on CUDA, whose kernel has no bf16', {
  skip: cuda.isAvailable() ? false : 'needs a CUDA device',
}, () => {
  const param = new Parameter(zeros([3], { dtype: 'bfloat16', device: 'cuda' }));
  param.grad = full([3], 8, { dtype: 'bfloat16', device: 'cuda' });
  const optimizer = new optim.SGD([param], { lr: 1 });
  const scaler = new GradScaler({ initScale: 4 });
  scaler.scale(zeros([], { device: 'cuda' }));
  scaler.step(optimizer);
  scaler.update();
  assert.deepEqual(numbersOf(param), [-2, -2, -2]);
});
